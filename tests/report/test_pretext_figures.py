"""What the drawings of label tasks show, and that every label task has its page."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from matplotlib.patches import Circle, Rectangle
from steps import loss_of_views

from eqssl import pretexts
from eqssl.config.params import Params
from eqssl.config.pretexts import PretextSettings
from eqssl.pretexts import combined
from eqssl.pretexts.labels.base import LabelTask
from eqssl.report.combined_figure import draw_combined
from eqssl.report.pretext_figures import CENTRE, CHOSEN, draw_task
from eqssl.report.style import save_figure

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "pretexts"
PARAMS = Params.load(ROOT / "params.yaml")
NINE = {"cells": 3, "permutations": 20, "cell": 12, "patch": 8}
# entry of params.yaml, what is changed in it, group, element of the second row, channels
CASES = {
    "location": ("eq_labels", {}, "C4", 1, 1),
    "location in colours, mirrored": ("eq_labels", {}, "D4", 5, 3),
    "ring": ("eq_ring", {}, "D4", 6, 1),
    "jigsaw": ("eq_jigsaw", {}, "C4", 3, 1),
    "jigsaw of nine, mirrored": ("eq_jigsaw", NINE, "D4", 5, 3),
    "orientation": ("eq_orientation", {}, "C4", 1, 1),
    "relative turn": ("eq_relative_turn", {}, "D4", 5, 1),
    "orientation of the group": ("eq_orientation", {"labels": "group"}, "D4", 7, 1),
}
LABELS = [1, 3]


def changed_entry(name: str, **changes) -> PretextSettings:
    return PretextSettings.read({**PARAMS.pretexts[name].plain(), **changes})


def build(entry: str, changes: dict, group: str, channels: int = 1, size: int = 28) -> LabelTask:
    changed = PARAMS.model_copy(
        update={
            "group": group,
            "encoder": PARAMS.encoder.model_copy(update={"width": (4, 8)}),
            "pretexts": {"drawn": changed_entry(entry, **changes)},
        }
    )
    return pretexts.build("drawn", changed, image_shape=(channels, size, size))


def noise(task: LabelTask) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, task.encoder.image_shape, generator=generator, dtype=torch.uint8)


def drawn(case: str, label: int):
    """The task, the element, the figure, and the axes of both rows."""
    entry, changes, group, number, channels = CASES[case]
    task = build(entry, changes, group, channels)
    element = task.group.elements[number]
    figure = draw_task(task, noise(task), label, element, 3)
    half = len(figure.axes) // 2
    return task, element, figure, figure.axes[:half], figure.axes[half:]


def pixels(axes) -> torch.Tensor:
    """The image in axes, channels first."""
    (image,) = axes.images
    values = torch.from_numpy(np.array(image.get_array()))
    return values[None] if values.ndim == 2 else values.permute(2, 0, 1)


def corruptions(line: list) -> list:
    return [axes for axes in line if axes.get_title(loc="left").startswith("t(")]


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("case", CASES)
def test_the_second_corruption_is_the_first_one_turned(case: str, label: int):
    task, element, _, first, second = drawn(case, label)
    pictures = 2 if case.startswith(("location", "ring", "relative turn")) else 1
    assert len(corruptions(first)) == len(corruptions(second)) == pictures
    for upper, lower in zip(corruptions(first), corruptions(second), strict=True):
        expected = task.group.act(pixels(upper), element)
        torch.testing.assert_close(pixels(lower), expected, atol=1e-3, rtol=0)
        assert (pixels(upper) - expected).abs().max() > 0.1


@pytest.mark.parametrize("case", CASES)
def test_titles_name_the_labels_that_the_group_makes_of_them(case: str):
    task, element, figure, first, second = drawn(case, 3)
    moved = int(task.labels.permutation(element)[3])
    x = "x" if "orientation" in case else "g x"
    assert first[-1].get_title(loc="left") == "y = 3"
    assert second[-1].get_title(loc="left") == f"g · y = {moved}"
    assert second[0].get_title(loc="left") == x
    assert {axes.get_title(loc="left") for axes in corruptions(first)} == {"t(x, y)"}
    assert {axes.get_title(loc="left") for axes in corruptions(second)} == {f"t({x}, g · y)"}
    headings = [part.get_suptitle() for part in figure.subfigs]
    assert headings[1].endswith(f"t({x}, g · y) = g t(x, y)")


@pytest.mark.parametrize("case", CASES)
def test_the_first_row_shows_the_image_and_what_the_network_gets(case: str):
    """Up to brightness and contrast, which are those of the whole corruption."""
    task, _, _, first, _ = drawn(case, 1)
    image = noise(task).float() / 255
    torch.testing.assert_close(pixels(first[0]), image)
    draw = task.draw(1, torch.Generator().manual_seed(3))
    inputs = task.corrupt(image[None], torch.tensor([1]), draw)[0]
    if hasattr(task, "permutations"):
        cells, size = task.settings.cells, task.settings.patch + 2
        tiles = pixels(corruptions(first)[0]).unflatten(2, (cells, size)).unflatten(1, (cells, size))
        assert (tiles[:, :, [0, -1]] == 1).all()
        shown = tiles[:, :, 1:-1, :, 1:-1].permute(1, 3, 0, 2, 4).flatten(0, 1)
    else:
        shown = torch.stack([pixels(axes) for axes in corruptions(first)]).view_as(inputs)
    low, high = inputs.aminmax()
    torch.testing.assert_close(shown, (inputs - low) / (high - low), atol=1e-5, rtol=0)


@pytest.mark.parametrize("label", LABELS)
def test_squares_lie_where_patches_are_cut(label: int):
    _, _, _, *lines = drawn("location", label)
    for line in lines:
        outlines = [patch for patch in line[1].patches if isinstance(patch, Rectangle)]
        assert len(outlines) == 9
        for colour, axes in zip((CENTRE, CHOSEN), corruptions(line), strict=True):
            (outline,) = [found for found in outlines if same(found, colour)]
            left, top, size = map(round, (*outline.get_xy(), outline.get_width()))
            cut = pixels(line[1])[..., top : top + size, left : left + size]
            patch = pixels(axes)
            as_seen = F.interpolate(cut[None], patch.shape[-2:], mode="bilinear", align_corners=False)
            both = np.corrcoef(as_seen.flatten(), patch.flatten())
            assert both[0, 1] > 1 - 1e-6


def test_circles_lie_where_discs_are_cut():
    """A blob at the middle of the drawn circle is in the middle of the patch, which a half turn leaves."""
    side = 3 * PARAMS.pretexts["eq_ring"].cell
    task = build("eq_ring", {"margin": 0.0}, "C4", size=side)
    (right, down) = circle(task, torch.zeros(1, side, side, dtype=torch.uint8)).center
    rows, columns = torch.meshgrid(*[torch.arange(side) + 0.5] * 2, indexing="ij")
    blob = 255 * torch.exp(-((rows - down).square() + (columns - right).square()) / 8)
    figure = draw_task(task, blob.round().byte()[None], 2, task.group.elements[1], 3)
    patch = pixels(corruptions(figure.axes[:5])[1])
    assert (patch - patch.flip(-1, -2)).abs().max() < 0.05
    assert patch.std() > 0.1


def circle(task: LabelTask, image: torch.Tensor) -> Circle:
    figure = draw_task(task, image, 2, task.group.elements[1], 3)
    (found,) = [patch for patch in figure.axes[1].patches if same(patch, CHOSEN)]
    assert isinstance(found, Circle)
    return found


def same(patch, colour: str) -> bool:
    red, green, blue, _ = patch.get_edgecolor()
    return "#" + "".join(f"{round(255 * part):02x}" for part in (red, green, blue)) == colour


def test_numbers_of_tiles_are_the_permutations():
    task, element, _, *lines = drawn("jigsaw of nine, mirrored", 3)
    for line, label in zip(lines, (3, int(task.labels.permutation(element)[3])), strict=True):
        wanted = [str(tile) for tile in task.permutations[label].tolist()]
        for axes in line[2:]:
            assert [text.get_text() for text in axes.texts] == wanted
        assert [text.get_text() for text in line[1].texts] == [str(slot) for slot in range(9)]
        assert line[3].get_xlabel() == f"s = ({' '.join(wanted)})"


def test_an_image_with_the_label_of_no_turn_is_drawn_unchanged():
    _, _, _, first, second = drawn("orientation", 1)
    assert torch.equal(pixels(first[0]), pixels(second[0]))


@pytest.mark.parametrize("kind", [".png", ".svg"])
def test_the_same_drawing_has_the_same_bytes(kind: str, tmp_path: Path):
    contents = []
    for name in ("one", "two"):
        save_figure(drawn("location", 1)[2], tmp_path / f"{name}{kind}")
        contents.append((tmp_path / f"{name}{kind}").read_bytes())
    assert contents[0] == contents[1]


def test_tasks_and_labels_without_a_drawing_are_refused():
    task = build("eq_labels", {}, "C4")
    with pytest.raises(ValueError, match="label: given 8, allowed: 0 to 7"):
        draw_task(task, noise(task), 8, task.group.identity, 0)
    other = build("supervised", {}, "C4")
    with pytest.raises(
        ValueError, match="given 'supervised', allowed: jigsaw, orientation, relative_location"
    ):
        draw_task(other, noise(task), 0, task.group.identity, 0)


def sum_of(contrast: dict, **more: dict) -> combined.Combined:
    parts = PARAMS.pretexts["eq_labels_inv_contrastive"].plain()["parts"] | more
    parts["contrast"]["pretext"] = {**parts["contrast"]["pretext"], **contrast}
    return build("eq_labels_inv_contrastive", {"parts": parts}, "C4")


def test_a_sum_shows_its_label_task_and_two_views_of_which_one_is_turned():
    task = sum_of({})
    element, image = task.group.elements[1], noise(task)
    figure = draw_combined(task, image, 2, element, 3)
    alone = draw_task(task.parts()["location"], image, 2, element, 3)
    shown = len(alone.axes)
    for axes, expected in zip(figure.axes[:shown], alone.axes, strict=True):
        assert axes.get_title() == expected.get_title()
        assert len(axes.images) == len(expected.images)
        assert not expected.images or torch.equal(pixels(axes), pixels(expected))
    first, second, turned, again = (pixels(axes) for axes in figure.axes[shown : shown + 4])
    assert torch.equal(turned, torch.rot90(first, 1, (-2, -1)))
    assert torch.equal(again, second)
    assert not torch.equal(first, second)


def test_the_heading_of_a_sum_says_whether_the_loss_stays():
    for similarity, relation in (("max", "L(g v, w) = L(v, w)"), (None, "L(g v, w) ≠ L(v, w)")):
        task = sum_of({"similarity": similarity})
        figure = draw_combined(task, noise(task), 2, task.group.elements[1], 3)
        heading = figure.subfigs[2]._suptitle.get_text()
        assert "L = 0.5 · L(location) + 1 · L(contrast)" in heading
        assert relation in heading
        # the heading speaks the truth about the loss, in a batch where there is something to tell apart
        generator = torch.Generator().manual_seed(0)
        views = torch.rand(6, *task.encoder.image_shape, generator=generator, dtype=torch.float64)
        contrast = task.parts()["contrast"].double().eval()
        v, w = views[:3], views[3:]
        moved = torch.cat([task.group.act(v[:1], task.group.elements[1]), v[1:]])
        same = torch.allclose(loss_of_views(contrast, v, w), loss_of_views(contrast, moved, w), rtol=1e-9)
        assert same == (similarity is not None)


def test_sums_of_other_parts_are_refused():
    task = sum_of({}, third={"weight": 1.0, "pretext": PARAMS.pretexts["eq_jigsaw"].alone().plain()})
    with pytest.raises(
        ValueError, match="given relative_location, simclr, jigsaw, allowed: one label task and"
    ):
        draw_combined(task, noise(task), 2, task.group.identity, 0)
    with pytest.raises(ValueError, match="label: given 8, allowed: 0 to 7"):
        draw_combined(sum_of({}), noise(task), 8, task.group.identity, 0)


# ---- the pages


def documented() -> dict[str, type]:
    """Tasks that must have a page."""
    tasks = {name: pretexts.task_class(name) for name in pretexts.names()}
    return {name: task for name, task in tasks.items() if issubclass(task, LabelTask) or name == "combined"}


@pytest.mark.parametrize("name", documented())
def test_every_label_task_has_a_page_with_all_its_settings(name: str):
    page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| ", page, re.MULTILINE)
    common = set(PretextSettings.model_fields)
    assert set(PretextSettings.kinds()[name].model_fields) - common <= set(rows)
    assert f"({name}.md)" in (PAGES / "README.md").read_text(encoding="utf-8")
    assert f"({name}.png)" in page


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_every_file_that_a_page_names_exists(page: Path):
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert targets
    assert [target for target in targets if not (PAGES / target).is_file()] == []


def test_every_figure_is_small_and_shown():
    shown = "".join(page.read_text(encoding="utf-8") for page in PAGES.glob("*.md"))
    for figure in PAGES.glob("*.png"):
        assert figure.stat().st_size < 60_000
        assert f"({figure.name})" in shown
