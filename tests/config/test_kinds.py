"""Each registered kind names existing code, and agrees with it on what is known without importing it."""

import pytest

from eqssl.config.encoders import EncoderSettings
from eqssl.config.groups import GROUPS, exact_groups
from eqssl.config.kinds import Kind
from eqssl.config.label_tasks import RING_PLACES
from eqssl.config.pretexts import PretextSettings
from eqssl.config.sources import SourceSettings
from eqssl.encoders.base import Encoder
from eqssl.pretexts.base import Pretext
from eqssl.pretexts.labels.layouts import STEPS
from eqssl.symmetry import group

KINDS = [
    kind for family in (PretextSettings, SourceSettings, EncoderSettings) for kind in family.kinds().values()
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind())
def test_every_kind_leads_to_its_class(kind: type[Kind]):
    found = kind.imported()
    if issubclass(kind, PretextSettings):
        assert issubclass(found, Pretext)
    elif issubclass(kind, EncoderSettings):
        assert issubclass(found, Encoder)
        assert found.name == kind.kind()
    else:
        assert callable(found.samples)
    assert found.__module__ == kind.implementation.partition(":")[0]


@pytest.mark.parametrize("kind", EncoderSettings.kinds().values(), ids=lambda kind: kind.kind())
def test_settings_know_how_many_stages_an_encoder_has(kind: type[EncoderSettings]):
    assert kind.stages == len(kind.imported().default_width)


@pytest.mark.parametrize("name", GROUPS)
def test_the_table_of_groups_says_what_the_groups_are(name: str):
    plane, found = GROUPS[name], group(name)
    assert (plane.is_exact, plane.is_continuous) == (found.is_exact, found.is_continuous)
    assert (name in exact_groups()) == found.is_exact
    if plane.rotations is not None:
        assert found.order == plane.rotations * (1 + plane.mirrored)


def test_the_ring_of_the_settings_is_the_ring_of_the_patches():
    assert RING_PLACES == STEPS
