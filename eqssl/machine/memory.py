"""Keeping freed memory in the process."""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h: above how many free bytes the end of the heap is given
back to the kernel, and from which size on a block is allocated outside the heap."""


def keep_freed_memory() -> bool:
    """Let malloc keep freed memory for the rest of this process. No result changes.

    A training step frees its feature maps, and the next step allocates as many again. In between, the C
    library returns the memory to the kernel, which hands it out again page by page, filled with zeros. On a
    CPU this takes about a sixth of the training time of small networks. The price of keeping it: the process
    holds as much memory as it ever used.

    Returns:
        Whether the C library supports this (glibc) and accepted it.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    # -1 stands for the largest number; 32 MiB (2^25) is the largest size that every version accepts
    kept = bool(library.mallopt(_TRIM_THRESHOLD, -1))
    return kept and any(library.mallopt(_MMAP_THRESHOLD, size) for size in (2**30, 2**25))
