import subprocess
import sys

import pytest
import torch
from entries import TRAINED, build, with_groups
from steps import step
from wide_products import one_pair_in

from eqssl import pretexts
from eqssl.config.params import Params
from eqssl.config.pretexts import PretextSettings
from eqssl.pretexts.base import Pretext
from eqssl.symmetry import group_names


def batch():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (8, 1, 28, 28), generator=generator, dtype=torch.uint8)
    return images, torch.arange(8) % 4


@pytest.mark.parametrize("task", pretexts.names())
def test_every_line_of_the_registry_leads_to_a_task(task: str):
    assert issubclass(pretexts.task_class(task), Pretext)


def test_looking_names_up_imports_no_torch():
    code = "import sys, eqssl.pretexts as p; p.names(); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("name", "group_name"), one_pair_in(3, with_groups(TRAINED, group_names())))
def test_a_few_steps_lower_the_loss_of_every_cell(name: str, group_name: str):
    pretext = build(name, group_name).train()
    optimiser = torch.optim.Adam(pretext.parameters(), 2e-2)
    images, labels = batch()
    losses = []
    for _ in range(25):
        loss, _ = pretext(step(images, labels, 1))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.95 * losses[0]


def test_the_supervised_loss_looks_at_labels(params: Params):
    pretext = pretexts.build("supervised", params)
    torch.nn.init.normal_(pretext.classifier.weight)
    images, labels = batch()
    pretext.eval()
    one = pretext(step(images, labels, 1)).loss
    other = pretext(step(images, labels.flip(0), 1)).loss
    assert not torch.equal(one, other)


def test_random_does_not_train(params: Params):
    pretext = pretexts.build("random", params)
    assert not pretext.trains
    with pytest.raises(ValueError, match="no loss"):
        pretext(step(*batch()))


def test_entries_are_checked_with_their_names(params: Params):
    with pytest.raises(ValueError, match=r"pretexts\.mine\.task: is missing \(allowed: .*combined"):
        PretextSettings.read({}, "pretexts.mine")
    with pytest.raises(ValueError, match=r"pretexts\.mine\.task: given 'rotnet', allowed: .*combined"):
        PretextSettings.read({"task": "rotnet"}, "pretexts.mine")
    with pytest.raises(ValueError, match="'mine', allowed: eq_labels"):
        pretexts.build("mine", params)
