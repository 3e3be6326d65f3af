"""The site: what is wrong ends its build, and links lead where they should. `make docs` builds it whole."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from page_blocks import ROOT

README = "# Name\n\nFirst. [Page](docs/other.md)\n\n## What\n\nThe [data](data/some.csv).\n"
OTHER = "# Other\n\n## Here\n\nSome text.\n"


@pytest.fixture
def small(tmp_path) -> Path:
    """A project with three pages and the settings of the site, without API pages."""
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    plugins = re.compile(r"^plugins:\n.*?(?=^\S)", re.MULTILINE | re.DOTALL)
    text = plugins.sub("plugins: [search, offline]\n\n", text)
    text = text[: text.index("\nnav:")] + "\nnav: [index.md, other.md, security.md]\n"
    (tmp_path / "mkdocs.yml").write_text(text)
    for folder in ("docs", "tools", "data"):
        (tmp_path / folder).mkdir()
    shutil.copy(ROOT / "tools/site_links.py", tmp_path / "tools")
    shutil.copytree(ROOT / "docs/assets", tmp_path / "docs/assets")
    (tmp_path / "data/some.csv").write_text("a,b\n1,2\n")
    (tmp_path / "README.md").write_text(README)
    (tmp_path / "SECURITY.md").write_text("# Safe\n\n[Other](docs/other.md#here), [data](data/some.csv)\n")
    (tmp_path / "docs/other.md").write_text(OTHER)
    (tmp_path / "docs/index.md").write_text("# Home\n\n[Safe](../SECURITY.md), [start](../README.md)\n")
    return tmp_path


def built(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "mkdocs", "build", "--strict"]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env=environment, timeout=120, check=False
    )


def html(folder: Path, page: str) -> str:
    return (folder / "site" / page).read_text(encoding="utf-8")


def test_links_out_of_the_folder_of_pages_lead_to_pages_and_copies(small):
    (small / "docs/index.md").write_text(
        "# Home\n\n<!-- README.md: start -->\n\n<!-- README.md: What -->\n\n[Safe](../SECURITY.md)\n"
    )
    answer = built(small)
    assert answer.returncode == 0, answer.stderr
    home = html(small, "index.html")
    assert "<p>First. " in home
    assert "README.md" not in home
    for link in ("other.html", "files/data/some.csv", "security.html"):
        assert f'href="{link}"' in home
    assert 'href="other.html#here"' in html(small, "security.html")
    assert (small / "site/files/data/some.csv").read_text() == "a,b\n1,2\n"


FAULTS = {
    "[a](../data/none.csv)": "'../data/none.csv', but the target",
    "[a](../../outside.csv)": "'../../outside.csv', but the target",
    "[a](none.md)": "'none.md', but the target",
    "[a](index.md#nowhere)": "does not contain an anchor '#nowhere'",
    "[a](../SECURITY.md#neither)": "does not contain an anchor '#neither'",
    "![a](none.png)": "'none.png', but the target",
}


def test_every_fault_ends_the_build_with_its_name(small):
    (small.parent / "outside.csv").write_text("not of the project")
    (small / "docs/other.md").write_text("\n\n".join([OTHER, *FAULTS]))
    (small / "docs/forgotten.md").write_text("# Not in the nav\n")
    answer = built(small)
    assert answer.returncode != 0
    for reason in FAULTS.values():
        assert reason in answer.stderr
    assert "forgotten.md" in answer.stderr
    assert f"Aborted with {len(FAULTS) + 1} warnings" in answer.stdout + answer.stderr


def test_a_section_that_readme_does_not_have_ends_the_build(small):
    (small / "docs/index.md").write_text("# Home\n\n<!-- README.md: Nothing -->\n")
    answer = built(small)
    assert answer.returncode != 0
    assert "README.md has no section 'Nothing', only start, What" in answer.stdout + answer.stderr


def test_no_page_asks_for_anything_from_a_network(small):
    assert built(small).returncode == 0
    for page in (small / "site").glob("*.html"):
        loaded = re.findall(
            r'<(?:script|img|iframe|link)[^>]*(?:src|href)="?(https?://[^" >]+)', html(small, page.name)
        )
        assert not loaded


def test_make_docs_is_strict_and_part_of_the_checks():
    rule = re.search(r"^docs:.*\n\t(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert rule is not None
    # `--quiet` keeps MkDocs from counting warnings, so that it would not end at any
    assert "mkdocs build --strict" in rule[1]
    assert "--quiet" not in rule[1]
    assert "make docs" in (ROOT / ".ci/run").read_text().splitlines()
