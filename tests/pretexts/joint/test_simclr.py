import pytest
import torch
from steps import loss_of_views, step

from eqssl import pretexts
from eqssl.config.params import Params
from eqssl.config.pretexts import PretextSettings
from eqssl.symmetry import assert_equivariant, equivariance_error, group, group_names

GROUPS = group_names(exact=True)


def task(params: Params, name: str, group_name: str, **changes):
    values = {**params.pretexts[name].plain(), **changes}
    entry = PretextSettings.read(values, f"pretexts.{name}")
    changed = params.model_copy(update={"group": group_name, "pretexts": {**params.pretexts, name: entry}})
    return pretexts.build(name, changed).double().eval()


def views(seed: int) -> torch.Tensor:
    return torch.rand(6, 1, 28, 28, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def turned(images: torch.Tensor, name: str, seed: int) -> torch.Tensor:
    G = group(name)
    drawn = torch.randint(G.order, (len(images),), generator=torch.Generator().manual_seed(seed))
    return G.act_each(images, drawn)


@pytest.mark.parametrize("similarity", ["max", "softmax", "pool"])
@pytest.mark.parametrize("name", GROUPS)
def test_condition_c_every_view_can_be_turned_by_itself(params: Params, name: str, similarity: str):
    pretext = task(params, "inv_contrastive", name, similarity=similarity)
    expected = float(loss_of_views(pretext, views(1), views(2)).detach())
    for seed in range(3):
        found = loss_of_views(pretext, turned(views(1), name, seed), turned(views(2), name, seed + 100))
        assert float(found.detach()) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", [name for name in GROUPS if name != "trivial"])
def test_the_plain_twin_fails_condition_c(params: Params, name: str):
    pretext = task(params, "contrastive", name)
    expected = loss_of_views(pretext, views(1), views(2))
    found = loss_of_views(pretext, turned(views(1), name, 0), turned(views(2), name, 100))
    assert abs(float((found - expected).detach())) > 1e-5


@pytest.mark.parametrize("name", GROUPS)
def test_the_embedding_turns_with_the_view_and_the_plain_one_does_not(params: Params, name: str):
    G = group(name)
    assert_equivariant(task(params, "inv_contrastive", name).embed, G, views(1), 1e-10)
    if name != "trivial":
        assert equivariance_error(task(params, "contrastive", name).embed, G, views(1)) > 1e-2


def test_the_two_projectors_have_the_same_width(params: Params):
    for name in GROUPS:
        shapes = {
            task(params, pretext, name).embed(views(1)).shape
            for pretext in ("inv_contrastive", "contrastive")
        }
        assert shapes == {(6, 64 // group(name).order, group(name).order)}


def test_the_loss_is_on_two_different_views_and_follows_the_generator(params: Params):
    pretext = task(params, "inv_contrastive", "C4").float()
    images = (views(3) * 255).byte()
    losses = [float(pretext(step(images, seed=seed)).loss.detach()) for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
    first, second = pretext.draw_views(images, torch.Generator().manual_seed(0))
    assert not torch.equal(first, second)
    assert float(loss_of_views(pretext, first, second).detach()) == losses[0]


@pytest.mark.parametrize("change", [{"similarity": "mean"}, {"temperature": 0.0}, {"hidden": 0}])
def test_bad_settings_are_named(params: Params, change: dict):
    (key,) = change
    with pytest.raises(ValueError, match=rf"pretexts\.contrastive\.{key}: given"):
        task(params, "contrastive", "C4", **change)
