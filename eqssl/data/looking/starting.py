"""`eqssl init`: look at images, choose settings, and write them into params.yaml."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from eqssl.config.editing import Change, edited
from eqssl.config.params import Params
from eqssl.config.regular_files import read_text
from eqssl.config.sources import SourceSettings
from eqssl.config.yaml_files import MOST_BYTES, parse_yaml
from eqssl.data.looking.choices import Choices, entry, grid
from eqssl.data.looking.dealing import dealt
from eqssl.data.looking.hints import hinting
from eqssl.data.looking.kind_of import kind_of
from eqssl.data.looking.summary import told
from eqssl.data.looking.survey import look
from eqssl.machine.files import write_text

_PATHS = ("path", "manifest")
Say = Callable[[str], None]


def begin(
    path: str,
    params: Path,
    say: Say = print,
    name: str | None = None,
    source: str | None = None,
    given: Mapping[str, Any] | None = None,
    dry: bool = False,
) -> None:
    """Add a data set to params.yaml, and make a small grid of it.

    Args:
        path: file or folder of the images.
        params: the settings file.
        say: takes each line of what was found and decided.
        name: of the data set; None to take it from the path.
        source: kind of source; None to find it.
        given: settings of the entry that are not to be chosen.
        dry: write nothing.

    Raises:
        ValueError: nothing fits, the images cannot be used, or an entry of this name has other settings. The
            settings file is as it was.
        OSError: a file cannot be read or written.
    """
    _check_options(name, given or {})
    text = read_text(params, MOST_BYTES)
    before = _checked(params, text)
    fit = kind_of(Path(path), source)
    known = {"source": fit.source, **fit.settings, **(given or {})}
    name = name or _name(path)
    settings = SourceSettings.read(known, f"datasets.{name}")
    paths = {key: _written(known[key], params.parent) for key in _PATHS if known.get(key)}
    if name in before.datasets and before.datasets[name].inputs != tuple(paths.values()):
        raise ValueError(_taken(name))
    say(f"looking at {path}: {fit.reason} (source {fit.source})" if fit.reason else f"looking at {path}")
    with hinting():
        survey = look(name, settings)
    for line in told(survey):
        say(f"  {line}")
    with hinting():
        dealing = dealt(survey, before.shards)
    parts = ", ".join(f"{dealing.counts[split]:,} {split}" for split in ("train", "val", "test"))
    say(f"  sharding will make: {parts}")
    for note in dealing.notes:
        say(f"  note: {note}")
    stored = entry(survey, {**known, **paths})
    cells = grid(before, name, dealing)
    _check_name(before, name, stored.values)
    changes: dict[tuple[str, ...], Change] = {}
    if name not in before.datasets:
        changes["datasets", name] = stored.values
    changes |= {tuple(key.split(".")): value for key, value in cells.values.items()}
    new = _edited(params, text, changes)
    _checked(params, new)
    _say_choices(say, name, stored, cells)
    if new == text:
        say(f"{params}: has all of this already")
    elif dry:
        say(f"{params}: not changed, since this is a dry run")
    else:
        write_text(params, new)
        say(f"{params}: written")
    _say_next(say, stored.values["path"])


def _checked(path: Path, text: str) -> Params:
    try:
        return Params.check(parse_yaml(text))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _edited(path: Path, text: str, changes: Mapping[tuple[str, ...], Change]) -> str:
    try:
        return edited(text, changes)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _name(path: str) -> str:
    """A name for a data set, from the last part of its path."""
    last = Path(os.path.abspath(path))  # noqa: PTH100 - links keep their names
    stem = last.name if last.is_dir() else last.stem
    return re.sub(r"[^A-Za-z0-9_]+", "_", stem).strip("_")[:100] or "images"


def _check_options(name: str | None, given: Mapping[str, Any]) -> None:
    """Refuse a name that no data set can have, and settings that the command line has elsewhere."""
    if name is not None and not re.fullmatch(r"[A-Za-z0-9_]{1,100}", name):
        raise ValueError(
            f"--name: given {name!r}, allowed: a name of letters, digits and _, at most 100 of them"
        )
    for key, place in (("path", "the first argument, PATH"), ("source", "--source")):
        if key in given:
            raise ValueError(f"--set: given {key}={given[key]}, allowed: {place}")


def _check_name(params: Params, name: str, values: Mapping[str, Any]) -> None:
    """Refuse a name that stands for something else."""
    there = params.datasets.get(name)
    if there is not None and there != SourceSettings.read(values, f"datasets.{name}"):
        raise ValueError(_taken(name))


def _taken(name: str) -> str:
    return (
        f"datasets.{name}: is there with other settings; `--name` gives the new one another name, or remove "
        "the entry first"
    )


def _written(path: str, folder: Path) -> str:
    """A path as params.yaml has it: relative to that file's folder if it is below it, else as given."""
    full, root = os.path.abspath(path), os.path.abspath(folder)  # noqa: PTH100 - links are not followed
    if full.startswith(root.rstrip("/") + "/"):
        return os.path.relpath(full, root)
    # a relative path is one from the folder in which `eqssl run` runs
    return path if os.path.isabs(path) or root == os.path.abspath(".") else full  # noqa: PTH117, PTH100


def _say_choices(say: Say, name: str, stored: Choices, cells: Choices) -> None:
    say(f"datasets.{name}:")
    for key, value in stored.values.items():
        say(_line(key, value, stored.reasons.get(key, "")))
    say("for a small grid:")
    for key, value in cells.values.items():
        say(_line(key, value, cells.reasons[key]))


def _line(key: str, value: Any, reason: str) -> str:
    return f"  {key}: {_shown(value)}" + (f"   ({reason})" if reason else "")


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_shown(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(_shown, value))}]"
    return str(value)


def _say_next(say: Say, path: str) -> None:
    say("next: `eqssl check` checks the settings and looks at the images, `eqssl run` trains and reports")
    if Path(path).is_absolute() or ".." in Path(path).parts:
        say(
            "DVC keeps versions of images that lie in this repository: copy them to data/raw/NAME and use "
            "`dvc add data/raw/NAME`"
        )
    else:
        say(f"`dvc add {quote(path)}` keeps a version of the images and puts its pointer into git")
