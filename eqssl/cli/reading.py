"""Values of options that are more than words: settings, tables, jobs, twins, budgets."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from eqssl.config.claims import Claim
    from eqssl.config.jobs import PretrainJob
    from eqssl.config.params import Params
    from eqssl.config.settings import Settings
    from eqssl.data.loading.location import Budget
    from eqssl.training.trackers import Tracker

JobType = TypeVar("JobType", bound="Settings")


def check_project(params: Path) -> None:
    """Say where to start a command whose settings file is not there.

    Raises:
        ValueError: there is no such file.
    """
    if not params.exists():
        where = "start from the folder of a project (`eqssl new` makes one), or name it with --params"
        raise ValueError(f"{params}: there is no such file in {Path.cwd()}; {where}")


def settings_of(options: argparse.Namespace) -> Params:
    """The settings that `eqssl.cli.adding.add_settings` lets a person name.

    Raises:
        ValueError: there are none, or they are wrong; names the file and each key.
        OSError: a file cannot be read.
    """
    from eqssl.config.params import Params

    check_project(options.params)
    return Params.load(options.params, *options.configfile)


def check_made(table: Path) -> None:
    """Say what makes a table of cells that is not there.

    Raises:
        ValueError: there is no such file.
    """
    if not table.exists():
        raise ValueError(f"{table}: there is no such file; `eqssl run` makes it")


def job_of(kind: type[JobType], text: str, option: str = "--job") -> JobType:
    """Read a job from JSON.

    Raises:
        ValueError: not JSON, or settings that the job does not take.
    """
    from eqssl.config.plain import parse_json

    return kind.read(parse_json(text, option), option)


def twins_of(text: str) -> dict[str, str]:
    """Read the twins of pretexts from JSON.

    Raises:
        ValueError: not JSON, or no table of names.
    """
    from eqssl.config.plain import parse_json, shown

    values = parse_json(text, "--twins")
    if not isinstance(values, dict) or not all(isinstance(twin, str) for twin in values.values()):
        allowed = "a JSON table of names, pretext -> its plain twin"
        raise ValueError(f"--twins: given {shown(values)}, allowed: {allowed}")
    return values


def claims_given(text: str) -> tuple[Claim, ...]:
    """Read what a report judges from JSON.

    Raises:
        ValueError: not JSON, or no list of claims.
    """
    from pydantic import TypeAdapter, ValidationError

    from eqssl.config.claims import Claim
    from eqssl.config.plain import parse_json, shown

    values = parse_json(text, "--claims")
    try:
        return TypeAdapter(tuple[Claim, ...]).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(["--claims", *map(str, first["loc"])])
        raise ValueError(f"{place}: given {shown(first['input'])}, allowed: {first['msg']}") from None


def budget_of(options: argparse.Namespace) -> Budget:
    """How much loading may keep.

    Raises:
        ValueError: a size is out of range.
    """
    from eqssl.data.loading.location import Budget

    return Budget.given(decoded_mb=options.decoded_mb, cache_mb=options.cache_mb)


def follow_of(options: argparse.Namespace) -> Callable[[PretrainJob, Path], Tracker] | None:
    """What opens the tracker of a training; None for no tracker.

    Raises:
        ValueError: there is no such tracker, or its library is not installed.
    """
    if options.tracker == "none":
        return None
    from functools import partial

    from eqssl.training.trackers.following import follow_cell
    from eqssl.training.trackers.registry import require_tracker

    require_tracker(options.tracker, "--tracker")
    return partial(follow_cell, options.tracker)
