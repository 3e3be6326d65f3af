"""What the processor can do, for layers that have a faster way on some."""

from __future__ import annotations

from functools import cache

import torch


def runs_onednn() -> bool:
    """Whether this is an x86 processor, on which alone the ways by oneDNN were measured, and oneDNN is on."""
    x86 = torch.backends.cpu.get_cpu_capability().startswith("AVX")
    return x86 and torch.backends.mkldnn.is_available() and bool(torch.backends.mkldnn.enabled)


@cache
def convolves_bfloat16() -> bool:
    """Whether oneDNN convolves bfloat16 here, with or without instructions for it."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@cache
def multiplies_bfloat16() -> bool:
    """Whether there are instructions for products of bfloat16, of vectors and not of tiles (AMX)."""
    return torch.cpu._is_avx512_bf16_supported() and not torch.cpu._is_amx_tile_supported()
