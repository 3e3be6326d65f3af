"""Images mapped into memory, and batches of them on a device, in an order that depends on seed and epoch."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from eqssl.config.sources import SplitName
from eqssl.data.loading.decoding import decoded
from eqssl.data.shards.index import SPLITS, ShardIndex

# a split up to this size is kept on the accelerator
_RESIDENT_BYTES = 2 * 2**30


@dataclass(frozen=True)
class Split:
    """One split of a data set.

    Attributes:
        name: "train", "val" or "test".
        images: a read-only memory map.
        labels: indices into `index.classes`.
        keys: names of the images.
        index: the index of the shards that the split came from.
    """

    name: SplitName
    images: UInt8[np.ndarray, "n c h w"]
    labels: Int[np.ndarray, " n"]
    keys: list[str]
    index: ShardIndex

    def __len__(self) -> int:
        return len(self.keys)


def load_split(folder: str | Path, split: SplitName) -> Split:
    """Load a split from a folder of shards. The first call decodes it; later calls map the decoded file.

    Raises:
        ValueError: there is no such split, index.json is wrong, or a tar or an image is damaged; names the
            file, the key and the reason.
        OSError: a file cannot be read or written.
    """
    if split not in SPLITS:
        raise ValueError(f"split: given {split!r}, allowed: {', '.join(SPLITS)}")
    index = ShardIndex.load(folder)
    columns = index.splits[split]
    labels = np.array(columns.labels, dtype=np.int64)
    return Split(split, decoded(index, split), labels, list(columns.keys), index)


class Batches:
    """Shuffled batches of a split.

    The order of an epoch is the Philox permutation of (seed, epoch). With several ranks, rank r takes every
    world-th image, starting from image r. All ranks have equally many images and steps, so up to `world - 1`
    images of an epoch are left out. There is no state between steps: any step of any epoch can come next.

    Args:
        split: the images.
        batch_size: images per step and rank.
        seed: of the order, 0 <= seed < 2^63.
        device: the device of the batches. A split of up to 2 GiB is kept on an accelerator.
        drop_last: leave out the last batch if it is smaller than the others.
        rank, world: this process is number `rank` of `world` processes.

    Raises:
        ValueError: an epoch has no full batch, or `rank` is not between 0 and `world - 1`.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        seed: int,
        device: torch.device | str,
        drop_last: bool = True,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if not 0 <= rank < world:
            raise ValueError(f"rank: given {rank}, allowed: 0 to {world - 1}")
        self._count = len(split) // world
        if batch_size < 1 or (drop_last and self._count < batch_size):
            raise ValueError(
                f"batch_size: given {batch_size}, allowed: 1 to {self._count}, "
                f"the images of split {split.name} of {split.index.dataset} (per process)"
            )
        self._total, self._rank, self._world = len(split), rank, world
        self._batch_size, self._seed, self._drop_last = batch_size, seed, drop_last
        # with its number: the device "cuda" does not equal "cuda:0", the device of a tensor
        self._device = torch.empty(0, device=device).device
        resident = self._device.type != "cpu" and split.images.nbytes <= _RESIDENT_BYTES
        store = self._device if resident else torch.device("cpu")
        self._images = _shared(split.images).to(store)
        self._labels = torch.from_numpy(split.labels).to(store)

    def __len__(self) -> int:
        """Steps per epoch."""
        return self._count // self._batch_size if self._drop_last else -(-self._count // self._batch_size)

    def epoch(
        self, epoch: int, start: int = 0
    ) -> Iterator[tuple[UInt8[Tensor, "b c h w"], Int[Tensor, " b"]]]:
        """The batches of an epoch, from step `start` on.

        Yields:
            Images (uint8) and labels (int64), both on the device.

        Raises:
            ValueError: the epoch has fewer than `start` steps.
        """
        if not 0 <= start <= len(self):
            raise ValueError(f"start: given {start}, allowed: 0 to {len(self)}")
        random = np.random.Generator(np.random.Philox(key=[self._seed, epoch]))
        order = random.permutation(self._total)[self._rank :: self._world][: self._count]
        chosen = torch.from_numpy(order).to(self._images.device)
        for step in range(start, len(self)):
            batch = chosen[step * self._batch_size : (step + 1) * self._batch_size]
            # on uint8, index_select is several times faster than indexing
            yield self._placed(self._images.index_select(0, batch)), self._placed(self._labels[batch])

    def _placed(self, batch: Tensor) -> Tensor:
        if batch.device == self._device or self._device.type == "cpu":
            return batch
        if self._device.type == "cuda":
            batch = batch.pin_memory()
        return batch.to(self._device, non_blocking=True)


def _shared(images: UInt8[np.ndarray, "n c h w"]) -> UInt8[Tensor, "n c h w"]:
    """A tensor that shares the memory of a read-only array. Never write to it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(images)
