from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eqssl.config.encoders import EncoderSettings
from eqssl.config.pretexts import PretextSettings
from eqssl.machine import code

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A small package in eqssl's place, so that a test may change its code."""
    folder = tmp_path / "eqssl"
    folder.mkdir()
    lazily = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from eqssl."
    files = {
        "__init__.py": "",
        "step.py": '"""Doc."""\nfrom eqssl.used import f\n\ndef g(x):\n    """Doc."""\n    return f(x)\n',
        "used.py": "def f(x):\n    from eqssl import inner\n    return inner.h(x)  # comment\n",
        "inner.py": "def h(x):\n    return x + 1\n",
        "unused.py": "def k(x):\n    return x\n",
        "typed.py": lazily + "unused import k\n",
        "rooms/__init__.py": lazily + "rooms.a import a\n",
        "rooms/a.py": "from .b import b\na = b\n",
        "rooms/b.py": "b = 1\n",
        "rooms/c.py": "c = 1\n",
        "lazy.py": "from eqssl.rooms import a\n",
        "machine/__init__.py": "",
        "machine/files.py": "x = 1\n",
        "writes.py": "from eqssl.machine.files import x\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.setattr(code, "PACKAGE", folder)
    _forget()
    yield folder
    _forget()


def _forget() -> None:
    for function in (code.code_digest, code._read, code.all_modules):
        function.cache_clear()


def after(package: Path, name: str, change: Callable[[str], str], module: str) -> tuple[str, str]:
    """The digest of a module before and after a change of a file."""
    before = code.code_digest(module)
    path = package / name
    path.write_text(change(path.read_text()))
    _forget()
    return before, code.code_digest(module)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text + "# a comment\n",
        lambda text: text.replace("Doc.", "Another text."),
        lambda text: text.replace("    return", "\n\n    return"),
        lambda text: text.replace("f(x)", "f( x )"),
        lambda text: text + '"""What the lines above are for."""\n',
    ],
)
def test_comments_docstrings_and_spaces_do_not_count(package: Path, change: Callable[[str], str]) -> None:
    before, now = after(package, "step.py", change, "eqssl.step")
    assert before == now


@pytest.mark.parametrize("name", ["step.py", "used.py", "inner.py"])
def test_statements_count_however_deep_the_import(package: Path, name: str) -> None:
    before, now = after(package, name, lambda text: text + "extra = 1\n", "eqssl.step")
    assert before != now


@pytest.mark.parametrize(
    ("old", "new"), [("x + 1", "x + 2"), ("x + 1", "x - 1"), ("x + 1", "None"), ("x + 1", "'x + 1'")]
)
def test_every_part_of_an_expression_counts(package: Path, old: str, new: str) -> None:
    before, now = after(package, "inner.py", lambda text: text.replace(old, new), "eqssl.step")
    assert before != now


@pytest.mark.parametrize(
    ("module", "name", "counts"),
    [
        ("eqssl.step", "unused.py", False),
        ("eqssl.typed", "unused.py", False),
        ("eqssl.lazy", "rooms/b.py", True),
        ("eqssl.lazy", "rooms/c.py", False),
        ("eqssl.rooms", "rooms/b.py", True),
        ("eqssl.writes", "machine/files.py", False),
        ("eqssl.machine.files", "machine/files.py", True),
    ],
)
def test_only_imported_modules_count(package: Path, module: str, name: str, counts: bool) -> None:
    before, now = after(package, name, lambda text: text + "extra = 1\n", module)
    assert (before != now) is counts


def test_an_unknown_module_is_an_error(package: Path) -> None:
    with pytest.raises(ValueError, match="nowhere: no such module"):
        code.code_digest("eqssl.nowhere")


def test_the_digest_is_the_same_in_every_python(package: Path) -> None:
    """The text that is hashed names node types and fields that all versions from 3.11 on have."""
    program = "from eqssl.machine import code as p; import sys; from pathlib import Path; "
    program += "p.PACKAGE = Path(sys.argv[1]); print(p.code_digest('eqssl.step'))"
    digests = {code.code_digest("eqssl.step")}
    for python in filter(None, map(shutil.which, ("python3.11", "python3.12", "python3.13"))):
        answer = subprocess.run(
            [python, "-c", program, str(package)], capture_output=True, text=True, cwd=ROOT, check=False
        )
        if answer.returncode == 0:  # else a launcher without that version behind it
            digests.add(answer.stdout.strip())
    assert len(digests) == 1


def test_training_counts_the_module_of_no_pretext_and_no_encoder() -> None:
    _forget()
    program = "import sys; from eqssl.machine import code as p; p.code_digest(sys.argv[1]); "
    program += "seen = []; waiting = sys.argv[1:]\n"
    program += "while waiting:\n    m = waiting.pop()\n    if m not in seen:\n"
    program += "        seen.append(m); waiting += p._read(m)[1]\n"
    program += "import json; print(json.dumps(seen))"
    answer = subprocess.run(
        [sys.executable, "-c", program, "eqssl.training.pretraining"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    seen = json.loads(answer.stdout)
    assert {
        "eqssl.training.pretraining",
        "eqssl.data.loading.batches",
        "eqssl.encoders.release.saving",
    } <= set(seen)
    kinds = [*PretextSettings.kinds().values(), *EncoderSettings.kinds().values()]
    own = {kind.implementation.partition(":")[0] for kind in kinds}
    assert own.isdisjoint(seen)
    assert not any(module.startswith(("eqssl.evaluation", "eqssl.report", "eqssl.cli")) for module in seen)
