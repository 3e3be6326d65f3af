"""Files of DVC experiments and other git revisions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from eqssl.config.plain import shown


@contextmanager
def experiment(name: str) -> Iterator[Any]:
    """DVC's file system of an experiment.

    Args:
        name: of a DVC experiment, or any git revision.

    Raises:
        ValueError: there is no such experiment, or its files are neither in DVC's cache nor in a remote.
    """
    from dvc.api import DVCFileSystem  # type: ignore[import-untyped]
    from dvc.exceptions import DvcException  # type: ignore[import-untyped]
    from scmrepo.exceptions import SCMError

    try:
        files = DVCFileSystem(rev=name)
        files.repo.get_rev()  # raises for an unknown name; `exists` would only return False
        yield files
    except (DvcException, SCMError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"experiment {shown(name)}: {reason}") from None


def experiment_files(name: str, paths: Iterable[str]) -> dict[str, bytes]:
    """The content of some files of an experiment. The first must be there; others may be missing.

    Args:
        name: of a DVC experiment, or any git revision.
        paths: relative to the root of the repository.

    Raises:
        ValueError: there is no such experiment or first file.
    """
    first, *others = paths
    with experiment(name) as files:
        if not files.exists(first):
            raise ValueError(f"experiment {shown(name)}: has no {first}")
        return {path: files.cat_file(path) for path in (first, *others) if files.exists(path)}
