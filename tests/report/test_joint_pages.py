"""Every joint-embedding pretext with a twin has its page, with the settings and numbers of the code."""

import re
from pathlib import Path

import pytest
from entries import PARAMS, TWINS, kind_of, task_of

from eqssl.config.joint import JointSettings
from eqssl.config.pretext_base import PretextSettings
from eqssl.pretexts.joint.branches import JointEmbedding
from eqssl.symmetry import group, group_names
from eqssl.symmetry.harmonics import harmonics

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "pretexts"
ENTRIES = {task_of(name): name for name in TWINS if issubclass(kind_of(name), JointEmbedding)}
SHARED = PAGES / "invariant_losses.md"


def page(task: str) -> str:
    return (PAGES / f"{task}.md").read_text(encoding="utf-8")


def rows(text: str, cells: int) -> dict[str, list[str]]:
    """Rows of tables with so many cells whose first is `code`."""
    found = re.findall(r"^\| `(\w+)` \|(.*)\|$", text, re.MULTILINE)
    split = {key: [cell.strip() for cell in line.split("|")] for key, line in found}
    return {key: values for key, values in split.items() if len(values) == cells - 1}


@pytest.mark.parametrize("task", ENTRIES)
def test_every_base_has_a_page_with_its_settings_and_its_defaults(task: str):
    described, entry = rows(page(task), 4), PARAMS.pretexts[ENTRIES[task]]
    shared = rows(SHARED.read_text(encoding="utf-8"), 3)
    own = set(type(entry).model_fields) - set(PretextSettings.model_fields)
    assert own - set(described) <= set(JointSettings.model_fields) & set(shared)
    assert set(described) <= own
    values = entry.plain()
    for key, (_, here, _) in described.items():
        assert here.strip("`") == ("null" if values[key] is None else f"{values[key]}"), key
    for key in set(shared) & {"similarity", "angles", "hidden", "embedding"} - set(described):
        assert shared[key][0].strip("`") == str(values[key]), key


@pytest.mark.parametrize("task", ENTRIES)
def test_every_base_is_in_the_index_and_in_the_table_of_what_absorbs_where(task: str):
    entries = f"`{ENTRIES[task]}`, `{TWINS[ENTRIES[task]]}`"
    index = (PAGES / "README.md").read_text(encoding="utf-8")
    assert re.search(rf"^\| \[{task}\]\({task}\.md\) \| .* \| {entries} \|$", index, re.MULTILINE)
    text = SHARED.read_text(encoding="utf-8")
    assert re.search(rf"^\| \[.*\]\({task}\.md\) \| {entries} \| ", text, re.MULTILINE)


@pytest.mark.parametrize("task", ENTRIES)
def test_every_base_has_its_source_its_conditions_and_its_figure(task: str):
    text = page(task)
    assert re.search(r"https://arxiv\.org/abs/\d{4}\.\d{5}\)", text)
    for heading in ("What is absorbed where", "Why (C) holds", "Groups", "Settings", "Log"):
        assert f"\n## {heading}\n" in text
    assert f"({task}.png)" in text
    assert f"`{TWINS[ENTRIES[task]]}`" in text


def test_the_table_of_multiplications_is_that_of_the_harmonics():
    found = rows(SHARED.read_text(encoding="utf-8"), 5)
    assert set(found) == set(group_names())
    for name, cells in found.items():
        order, blocks = group(name).order, harmonics(name).blocks
        # a rotation takes two numbers of two products each
        per_block = {
            "lines": lambda block: block.size,
            "real": lambda block: block.size**2 * block.copies,
            "rotation": lambda block: 4,
        }
        fourier = sum(per_block[block.kind](block) for block in blocks)
        assert [int(cell) for cell in cells] == [order, order**2, fourier, order], name


def test_the_first_page_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 1200
