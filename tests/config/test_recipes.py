"""The published settings of every base in `experiments/`: they are complete, valid, and can be trained."""

import copy
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml
from snakemake.utils import update_config

from eqssl import pretexts
from eqssl.config.jobs import data_page_job, features_job, pretrain_job, probe_job, shard_job
from eqssl.config.joint import JointSettings
from eqssl.config.params import Params, merged
from eqssl.pretexts.base import Pretext, Step
from eqssl.pretexts.views import check_sizes

ROOT = Path(__file__).parents[2]
VALUES = yaml.safe_load((ROOT / "params.yaml").read_text())
PAGE = (ROOT / "docs" / "recipes.md").read_text()
RECIPES = {
    "cifar10_barlow_twins": ("inv_barlow", "barlow"),
    "cifar10_byol": ("inv_byol", "byol"),
    "cifar10_dino": ("inv_dino", "dino"),
    "cifar10_e_ssl": ("inv_e_ssl", "e_ssl"),
    "cifar10_moco": ("inv_moco", "moco"),
    "cifar10_moco_v3": ("inv_moco_v3", "moco_v3"),
    "cifar10_simclr": ("inv_contrastive", "contrastive"),
    "cifar10_simsiam": ("inv_simsiam", "simsiam"),
    "cifar10_swav": ("inv_swav", "swav"),
    "cifar10_vicreg": ("inv_vicreg", "vicreg"),
    "stl10_stl": ("stl",),
}
SIDES = {"cifar10": 32, "stl10": 96}
NARROW = (8, 8, 8, 16)
ENTRIES = [(name, entry) for name, entries in RECIPES.items() for entry in entries]
SHARED = ("encoder", "views", "pretrain")
UNCHANGED = {"seed", "shards", "probe", "finetune", "transfer", "machine"}


def path(name: str) -> Path:
    return ROOT / "experiments" / f"{name}.yaml"


@cache
def values(name: str) -> dict:
    return yaml.safe_load(path(name).read_text())


@cache
def recipe(name: str) -> Params:
    return Params.load(ROOT / "params.yaml", path(name))


def narrow(name: str, entry: str, group: str) -> Pretext:
    """The pretext of a recipe, with few channels in the encoder and all of them in the heads."""
    params = recipe(name)
    encoder = params.encoder.model_copy(update={"width": NARROW})
    params = params.model_copy(update={"group": group, "encoder": encoder})
    side = SIDES[params.dataset]
    return pretexts.build(entry, params, image_shape=(3, side, side), classes=10)


def without_turns(settings: dict) -> dict:
    """Settings of an entry without what makes it invariant."""
    kept = copy.deepcopy(settings)
    kept.pop("twin", None)
    for each in [kept, *(part["pretext"] for part in kept.get("parts", {}).values())]:
        each.pop("similarity", None)
        each.pop("head", None)
    return kept


def test_every_published_recipe_is_a_recipe_of_this_test():
    found = {file.stem for file in path("any").parent.glob("*.yaml") if "10_" in file.stem}
    assert found == set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_snakemake_merges_a_recipe_as_eqssl_does(name):
    config = copy.deepcopy(VALUES)
    update_config(config, copy.deepcopy(values(name)))
    assert config == merged(VALUES, values(name))
    assert Params.check(config) == recipe(name)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_leaves_nothing_about_its_training_to_params_yaml(name):
    """So that a new default never changes what a recipe trains."""
    given = values(name)
    for section in SHARED:
        assert not missing(given[section], VALUES[section])
    for entry in RECIPES[name]:
        assert missing(given["pretexts"][entry], VALUES["pretexts"][entry]) <= {"task", "twin"}
    assert set(given["pretexts"]) == set(RECIPES[name])
    assert VALUES.keys() - given.keys() == UNCHANGED


def missing(given: dict, wanted: dict) -> set[str]:
    """Keys of one table, and of the tables in it, that another one lacks."""
    found = wanted.keys() - given.keys()
    tables = {key for key in wanted.keys() & given.keys() if isinstance(wanted[key], dict)}
    return found | {f"{key}.{each}" for key in tables for each in missing(given[key], wanted[key])}


@pytest.mark.parametrize("name", RECIPES)
def test_the_grid_of_a_recipe_has_the_entry_and_its_twin_and_every_cell_has_jobs(name):
    params = recipe(name)
    assert params.grid.pretext == (*RECIPES[name], "random")
    assert params.cell in set(params.cells())
    digests = {pretrain_job(params, cell).digest for cell in params.cells()}
    assert len(digests) == len(list(params.cells()))
    for job in (shard_job(params, params.dataset), features_job(params), probe_job(params)):
        assert len(job.digest) == 8
    assert data_page_job(params, params.dataset).data == shard_job(params, params.dataset).digest


@pytest.mark.parametrize("name", [name for name in RECIPES if len(RECIPES[name]) == 2])
def test_a_twin_differs_in_its_symmetry_alone(name):
    params, (entry, twin) = recipe(name), RECIPES[name]
    assert params.twins()[entry] == twin
    mine, plain = (without_turns(params.pretexts[each].plain()) for each in (entry, twin))
    assert mine == plain


@pytest.mark.parametrize(("name", "entry"), ENTRIES)
def test_a_recipe_can_be_trained_on_its_encoder(name, entry):
    torch.manual_seed(0)
    params = recipe(name)
    pretext = narrow(name, entry, params.group)
    check_sizes(pretext.encoder, pretext.views)
    side = SIDES[params.dataset]
    images = torch.randint(256, (2, 3, side, side), dtype=torch.uint8)
    outcome = pretext(Step(images, None, torch.Generator().manual_seed(1), 0.5))
    outcome.loss.backward()
    assert outcome.loss.isfinite()


@pytest.mark.parametrize(("entry", "published"), [("inv_swav", 128), ("inv_dino", 256), ("inv_moco", 256)])
def test_widths_count_channels(entry, published):
    name = next(name for name, entries in RECIPES.items() if entry in entries)
    pretext = narrow(name, entry, "D4")
    assert pretext.embedding_shape == (published // 8, 8)


@pytest.mark.parametrize("entry", ["inv_swav", "swav", "inv_dino", "dino"])
@pytest.mark.parametrize("size", [10, 12, 15])
def test_small_views_of_28_pixels_fit_the_default_encoder(entry, size):
    """12 is to 28 as the published 96 is to 224."""
    params = cropped(entry, size, "pool")
    pretext = pretexts.build(entry, params, image_shape=(1, 28, 28))
    assert [(spec.count, spec.size) for spec in pretext.views] == [(2, None), (4, size)]
    images = torch.randint(256, (4, 1, 28, 28), dtype=torch.uint8)
    loss = pretext(Step(images, None, torch.Generator().manual_seed(0), 0.5)).loss
    loss.backward()
    assert loss.isfinite()


def test_a_small_view_that_breaks_the_symmetry_is_refused_by_its_size():
    with pytest.raises(ValueError, match=r"^crops\.size: given 12: .* work: 9 or 17"):
        pretexts.build("inv_dino", cropped("inv_dino", 12, "strided"), image_shape=(1, 25, 25))
    pretexts.build("inv_dino", cropped("inv_dino", 9, "strided"), image_shape=(1, 25, 25))


def cropped(entry: str, size: int, downsampling: str) -> Params:
    """The default settings with small views, as a file after --configfile gives them."""
    crops = {"count": 4, "size": size, "scale": [0.05, 0.3]}
    changes = {
        "group": "C4",
        "encoder": {"width": [4, 4, 4, 8], "downsampling": downsampling},
        "pretexts": {entry: {"crops": crops}},
    }
    return Params.check(merged(VALUES, changes))


@pytest.mark.parametrize("name", RECIPES)
def test_the_page_says_what_the_files_say(name):
    """A row: name, epochs and batch, optimiser, rate and decay, widths, views."""
    params = recipe(name)
    train, views, entry = params.pretrain, params.views, params.pretexts[RECIPES[name][0]]
    second = getattr(entry, "second_view", None)
    if not isinstance(entry, JointSettings) and hasattr(entry, "parts"):
        entry = entry.parts["contrast"].pretext
    hidden = entry.hidden if isinstance(entry.hidden, tuple) else (entry.hidden,)
    widths = "-".join(map(str, [*hidden, entry.embedding]))
    solarise = " / ".join(
        f"{view.solarise:g}" for view in [views, *([views.changed(second)] if second else [])]
    )
    jitter = ", ".join(
        f"{getattr(views, name):g}" for name in ("brightness", "contrast", "saturation", "hue")
    )
    row = [
        f"[{name}](../experiments/{name}.yaml)",
        f"{train.epochs}, {train.batch_size}",
        f"{train.optimiser} {train.learning_rate:g}, {train.weight_decay:g}",
        widths,
        f"{views.crop_scale[0]:g} to {views.crop_scale[1]:g}",
        jitter,
        f"{views.blur:g}",
        solarise,
    ]
    assert f"| {' | '.join(row)} |" in PAGE
