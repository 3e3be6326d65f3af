"""ONNX Runtime, which exported networks are compared with on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from eqssl.encoders.base import Encoder
from eqssl.encoders.release.exporting import onnx_model


def is_installed() -> bool:
    """Whether the packages that write and run ONNX files are installed."""
    return all(find_spec(name) is not None for name in ("onnx", "onnxscript", "onnxruntime"))


def session(released: Encoder) -> Callable[[Tensor], Any]:
    """A released network's ONNX file, run by ONNX Runtime on a CPU with as many threads as torch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    made = onnxruntime.InferenceSession(onnx_model(released), options, providers=["CPUExecutionProvider"])
    return lambda images: made.run(["features"], {"images": images.contiguous().numpy()})
