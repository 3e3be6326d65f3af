"""A tenth base of joint embeddings is one file, one class of settings, entries for the tests, and one page.

A toy is added to a copy of the tree as CONTRIBUTING.md says, and the tests that are there already run on it.
"""

from __future__ import annotations

import filecmp
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
COPIED = ["eqssl", "tests", "docs/pretexts", "tools", "params.yaml", "pyproject.toml"]
ENTRY = {
    "task": "ranking",
    "similarity": "max",
    "angles": 64,
    "temperature": 0.2,
    "hidden": 128,
    "embedding": 64,
    "margin": 0.5,
}

FILE = '''
"""Ranking: the view of the same image is more similar than all others, by a margin."""

import torch

from eqssl.losses.precision import in_full_precision
from eqssl.losses.similarity import similarity
from eqssl.pretexts.joint.branches import JointEmbedding


@in_full_precision
def ranking(z1, z2, G, kind="max", temperature=0.2, angles=64, margin=0.5):
    """Mean over i of the sum over j != i of max(0, margin - (s(z1_i, z2_i) - s(z1_i, z2_j)) / t)."""
    s = similarity(z1, z2, G, kind, temperature, angles)
    losses = torch.relu(margin - (s.diagonal()[:, None] - s) / temperature)
    return (losses.sum() - losses.diagonal().sum()) / len(s)


class Ranking(JointEmbedding):
    """Rank the other view of an image before those of other images."""

    def build(self, settings, classes, generator):
        self.begin(settings, generator)
        self.margin = settings.margin

    def forward(self, step):
        views = self.draw_turned_views(step.images, step.generator)
        z1, z2 = self.embed_each(views)
        return self.outcome(ranking(z1, z2, margin=self.margin, **self.comparison), z1, z2, views)
'''

SETTINGS = '''
class RankingSettings(JointSettings):
    """Ranking: the view of the same image is more similar than all others, by a margin."""

    implementation: ClassVar[str] = "eqssl.pretexts.joint.ranking:Ranking"

    task: Literal["ranking"]
    margin: Positive
'''

PAGE = """# Ranking

Which view is the most similar? (A toy, https://arxiv.org/abs/0000.00000)

![Two views](ranking.png)

## What is absorbed where

The similarities.

## Why (C) holds

The loss is made of similarities. They change in the twin, `ranking`.

## Groups

All, as in [invariant losses](invariant_losses.md).

## Settings

| key | published | here | meaning |
| --- | --- | --- | --- |
| `margin` | | 0.5 | the margin |

## Log

Nothing of its own.
"""

# file, what stands there, what stands there afterwards
LOSSES = "tests/losses/test_conditions_of_losses.py"
LINES = [
    ("eqssl/config/joint.py", "\n# New joint", f"{SETTINGS}\n\n# New joint"),
    (
        LOSSES,
        '    "nt_xent": ',
        '    "ranking": Loss(import_module("eqssl.pretexts.joint.ranking").ranking),\n    "nt_xent": ',
    ),
    (LOSSES, "from slow_pairs", "from importlib import import_module\nfrom slow_pairs"),
    (
        "docs/pretexts/README.md",
        "| [dino]",
        "| [ranking](ranking.md) | which is the most similar? | `inv_ranking`, `ranking` |\n| [dino]",
    ),
    (
        "docs/pretexts/invariant_losses.md",
        "| [DINO]",
        "| [Ranking](ranking.md) | `inv_ranking`, `ranking` | all embeddings | nothing |\n| [DINO]",
    ),
]
NEW = ["eqssl/pretexts/joint/ranking.py", "docs/pretexts/ranking.md", "docs/pretexts/ranking.png"]
TESTS = [
    "tests/pretexts/test_conditions.py",
    "tests/pretexts/joint/test_bases.py",
    "tests/losses/test_conditions_of_losses.py",
    "tests/report/test_joint_pages.py",
]
MUST_HOLD = [
    "condition_c_every_view_can_be_turned_by_itself[inv_ranking-D4]",
    "the_twin_of_an_entry_breaks_its_condition[inv_ranking-D4]",
    "twins_have_the_same_task_views_encoder_and_widths[inv_ranking-C4]",
    "the_loss_reaches_every_trained_weight[inv_ranking-C4]",
    "self_supervised_losses_do_not_look_at_labels[inv_ranking]",
    "a_stopped_training_of_every_entry_ends_with_the_same_bytes[inv_ranking]",
    "a_change_of_an_entrys_code_changes_its_digest[inv_ranking]",
    "condition_c_every_embedding_can_be_turned_by_itself[inv_ranking-O2-softmax-torch.float64]",
    "the_plain_twins_loss_changes_when_embeddings_are_turned[inv_ranking-C8]",
    "without_symmetry_every_kind_is_the_published_loss_to_the_bit[inv_ranking-max]",
    "condition_c_independent_turns_of_the_inputs_change_nothing[ranking-pool-dtype0]",
    "the_plain_loss_fails_condition_c[ranking-dtype1]",
    "every_base_has_a_page_with_its_settings_and_its_defaults[ranking]",
    "every_base_has_its_source_its_conditions_and_its_figure[ranking]",
]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree with one more base."""
    folder = tmp_path_factory.mktemp("base") / "tree"
    for name in COPIED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    (folder / NEW[0]).write_text(FILE)
    (folder / NEW[1]).write_text(PAGE)
    for name, before, after in LINES:
        text = (folder / name).read_text()
        assert text.count(before) == 1
        (folder / name).write_text(text.replace(before, after))
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    plain = {**ENTRY, "similarity": None}
    values["pretexts"] |= {"inv_ranking": {**ENTRY, "twin": "ranking"}, "ranking": plain}
    (folder / "params.yaml").write_text(yaml.safe_dump(values))
    answer = run(folder, "tools/draw_pretexts.py", "docs/pretexts", "ranking")
    assert answer.returncode == 0, answer.stderr
    return folder


def run(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the tree, not as a part of this run of the tests."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    command, environment = [sys.executable, *words], {**kept, "PYTHONPATH": str(tree)}
    return subprocess.run(command, capture_output=True, text=True, cwd=tree, env=environment, check=False)


def passing(tree: Path, *words: str) -> tuple[set[str], str]:
    """Names of the tests that pass, and what was written."""
    answer = run(tree, "-m", "pytest", "-vv", "-p", "no:cacheprovider", "--no-header", *words)
    passed = re.findall(r"::test_(\S+) PASSED", answer.stdout)
    return set(passed), answer.stdout + answer.stderr


def test_a_base_touches_one_file_one_class_its_entries_and_its_page(tree: Path):
    files = {path.relative_to(tree) for path in tree.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    differ = {
        path.as_posix()
        for path in files
        if not (ROOT / path).exists() or not filecmp.cmp(tree / path, ROOT / path, shallow=False)
    }
    assert differ == {*NEW, *(name for name, _, _ in LINES), "params.yaml"}


def test_the_tests_that_are_there_already_hold_for_it(tree: Path):
    passed, written = passing(tree, "-k", "ranking", *TESTS)
    assert " failed" not in written, written
    assert set(MUST_HOLD) <= passed, written


def test_a_base_that_does_not_absorb_turns_is_found_out(tree: Path):
    """The control: its file compares plainly, whatever the settings say."""
    path = tree / NEW[0]
    text = path.read_text()
    try:
        path.write_text(text.replace("similarity(z1, z2, G, kind,", "similarity(z1, z2, G, None,"))
        name = "condition_c_every_view_can_be_turned_by_itself[inv_ranking-C4]"
        passed, written = passing(tree, f"{TESTS[0]}::test_{name}")
    finally:
        path.write_text(text)
    assert "1 failed" in written
    assert not passed
