"""Released encoders on the hub of Hugging Face."""

from __future__ import annotations

from pathlib import Path

PREFIX = "hub:"
_FILES = ("config.json", "model.safetensors")


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
        missing = "needs the package huggingface_hub: pip install huggingface_hub"
        raise ValueError(f"{PREFIX}{name}: {missing} ({error})") from None
    try:
        paths = [hf_hub_download(repository, file, revision=revision or None) for file in _FILES]
    except LocalEntryNotFoundError as error:
        raise OSError(f"{PREFIX}{name}: cannot be reached, and is not in the cache: {_line(error)}") from None
    except (HfHubHTTPError, HFValidationError) as error:
        raise ValueError(f"{PREFIX}{name}: {_line(error)}") from None
    return Path(paths[0]).parent


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
