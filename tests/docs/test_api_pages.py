"""The API pages: every public name is on one, has a docstring, and an example that runs by itself."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
from operator import attrgetter
from types import ModuleType
from typing import Any

import pytest
from page_blocks import ROOT, read

PAGES = sorted((ROOT / "docs/api").glob("*.md"))
NAMES = [name for page in PAGES for name in re.findall(r"^::: (\S+)$", page.read_text("utf-8"), re.MULTILINE)]
ROOMS = ("", ".symmetry", ".losses", ".encoders", ".data.views", ".training", ".report")
ON_PAGES = "\n".join(block for page in PAGES for block in read(page).python)
"""Examples that stand on the pages themselves; tests/docs/test_page_blocks.py runs them."""


def found(name: str) -> tuple[ModuleType, Any]:
    """A module and the object in it, of a full name."""
    module, _, own = name.rpartition(".")
    where = importlib.import_module(module)
    return where, attrgetter(own)(where)


def documented(thing: Any) -> dict[str, str]:
    """The docstrings of an object, and of the methods of a class, by name."""
    texts = {"": thing.__doc__ or ""}
    for name in vars(thing) if inspect.isclass(thing) else ():
        method = getattr(thing, name)
        if getattr(method, "__qualname__", "").startswith(f"{thing.__name__}."):
            texts[name] = method.__doc__ or ""
    return texts


def test_every_name_that_a_room_makes_public_is_on_a_page_once():
    assert len(NAMES) == len(set(NAMES))
    on_pages = {id(found(name)[1]) for name in NAMES}
    for room in ROOMS:
        module = importlib.import_module(f"eqssl{room}")
        for name in module.__all__:
            thing = getattr(module, name)
            assert isinstance(thing, ModuleType) or id(thing) in on_pages, f"eqssl{room}.{name}"


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_has_a_docstring_and_an_example_that_runs(name: str, monkeypatch):
    monkeypatch.chdir(ROOT)
    module, thing = found(name)
    own = name.rpartition(".")[2]
    assert thing.__doc__
    assert thing.__doc__ is not type(thing).__doc__
    examples = 0
    for method, text in documented(thing).items():
        known = {own: thing, "__name__": module.__name__}
        example = doctest.DocTestParser().get_doctest(
            inspect.cleandoc(text), known, f"{name}.{method}", None, None
        )
        examples += len(example.examples)
        assert doctest.DocTestRunner().run(example).failed == 0
    assert examples or re.search(rf"\b{own}\(", ON_PAGES)
