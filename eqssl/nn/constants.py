"""Tensors that a layer owns and nothing trains: filter bases, index tables, sampling matrices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self

import torch
from torch import Tensor, nn


class ModuleWithConstants(nn.Module):
    """A layer with tensors that move with it, are saved with it if asked, and are otherwise left alone.

    They are not buffers, because other code writes to buffers: an averaged model with `use_buffers=True`
    averages tables of integers and truncates the result, and `DistributedDataParallel` sends all buffers
    before every step. Nothing copies constants between processes: each process makes its own or loads them.
    """

    def __init__(self) -> None:
        super().__init__()
        # name -> whether it belongs to the state dict
        self._constants: dict[str, bool] = {}

    def register_constant(self, name: str, tensor: Tensor, saved: bool = False) -> None:
        """Hold a tensor as an attribute.

        Args:
            name: of the attribute.
            tensor: its value.
            saved: whether it is part of the state dict, under that name.
        """
        self._constants[name] = saved
        setattr(self, name, tensor)

    def named_constants(self, saved_only: bool = False) -> Iterator[tuple[str, Tensor]]:
        """Names and tensors of this layer, without those of its children."""
        for name, saved in self._constants.items():
            if saved or not saved_only:
                yield name, getattr(self, name)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)
        with torch.no_grad():
            for name, tensor in list(self.named_constants()):
                setattr(self, name, fn(tensor))
        return self

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name, tensor in self.named_constants(saved_only=True):
            destination[prefix + name] = tensor

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        for name, tensor in self.named_constants(saved_only=True):
            key = prefix + name
            if key in unexpected_keys:
                unexpected_keys.remove(key)
            if key not in state_dict:
                missing_keys.append(key)
            elif state_dict[key].shape != tensor.shape:
                given, own = tuple(state_dict[key].shape), tuple(tensor.shape)
                error_msgs.append(f"size mismatch for {key}: given {given}, allowed: {own}")
            else:
                tensor.copy_(state_dict[key])


def constants_of(network: nn.Module, saved_only: bool = False) -> list[Tensor]:
    """The constants of all layers of a network."""
    layers = [layer for layer in network.modules() if isinstance(layer, ModuleWithConstants)]
    return [tensor for layer in layers for _, tensor in layer.named_constants(saved_only)]
