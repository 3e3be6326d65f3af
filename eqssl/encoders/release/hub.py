"""Released encoders on the hub of Hugging Face."""

from __future__ import annotations

import re
from pathlib import Path

from eqssl.machine.packages import import_failure

PREFIX = "hub:"
_FILES = ("config.json", "model.safetensors")
_REPOSITORY = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")


def downloaded(name: str) -> Path:
    """The folder of a released encoder, in the cache of huggingface_hub; fetched if it is not there.

    The two files that `load_encoder` reads are fetched, and nothing else.

    Args:
        name: `OWNER/NAME`, or `OWNER/NAME@REVISION` with a commit, tag or branch.

    Raises:
        ValueError: the name is malformed, there is no such repository, revision or file, or the package is
            missing.
        OSError: the hub cannot be reached.
    """
    repository, _, revision = name.partition("@")
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    except ImportError as error:
        raise ValueError(f"{PREFIX}{name}: {import_failure(error)}") from None
    try:
        paths = [hf_hub_download(repository, file, revision=revision or None) for file in _FILES]
    except LocalEntryNotFoundError as error:
        raise OSError(f"{PREFIX}{name}: cannot be reached, and is not in the cache: {_line(error)}") from None
    except (HfHubHTTPError, HFValidationError) as error:
        raise ValueError(f"{PREFIX}{name}: {_line(error)}") from None
    return Path(paths[0]).parent


def check_upload(name: str) -> None:
    """Refuse an upload that cannot be, before any work is done for it.

    Raises:
        ValueError: the name is malformed, the package is missing, or nobody is logged in.
    """
    if not _REPOSITORY.fullmatch(name):
        raise ValueError(f"--upload: given {name[:100]!r}, allowed: OWNER/NAME, a repository on the hub")
    try:
        from huggingface_hub import get_token
    except ImportError as error:
        raise ValueError(f"--upload: {import_failure(error)}") from None
    if get_token() is None:
        raise ValueError("--upload: nobody is logged in to the hub: run `hf auth login`, or set HF_TOKEN")


def uploaded(folder: Path, name: str) -> str:
    """Put every file of a folder into a repository on the hub, in one commit.

    Args:
        folder: of a released encoder.
        name: `OWNER/NAME`. A repository that is not there is made, and is private.

    Returns:
        The address of the commit.

    Raises:
        ValueError: the hub refuses, or `check_upload` does.
        OSError: the hub cannot be reached, or a file cannot be read.
    """
    check_upload(name)
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi()
    try:
        api.create_repo(name, private=True, exist_ok=True)
        done = api.upload_folder(
            repo_id=name, folder_path=folder, commit_message="An encoder released with eqssl"
        )
    except HfHubHTTPError as error:
        raise ValueError(f"{PREFIX}{name}: {_line(error)}") from None
    except (ConnectionError, TimeoutError) as error:
        raise OSError(f"{PREFIX}{name}: cannot be reached: {_line(error)}") from None
    return str(done.commit_url)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
