"""The images of a split, and batches of them on a device, in an order that depends on seed and epoch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from mmap import MADV_DONTNEED, mmap
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Int, UInt8
from torch import Tensor

from eqssl.config.sources import SplitName
from eqssl.data.loading.decoding import decoded
from eqssl.data.loading.kept import Stored
from eqssl.data.loading.location import DEFAULT, Budget, open_shards
from eqssl.data.loading.pixels import pixel_values, shared_tensor
from eqssl.data.loading.streamed import Rows, StreamedImages
from eqssl.data.shards.index import SPLITS, ShardIndex

# a split up to this size is kept on the accelerator
_RESIDENT_BYTES = 2 * 2**30


@dataclass(frozen=True)
class Split:
    """One split of a data set.

    Attributes:
        name: "train", "val" or "test".
        images: a read-only memory map; or, for a split that is larger than the budget, `StreamedImages`,
            which are read from the tars. Both give the same images for a slice or an array of numbers.
        labels: indices into `index.classes`.
        keys: names of the images.
        index: the index of the shards that the split came from.
    """

    name: SplitName
    images: np.memmap | StreamedImages
    labels: Int[np.ndarray, " n"]
    keys: list[str]
    index: ShardIndex

    def __len__(self) -> int:
        return len(self.keys)

    def in_order(self, parts: Iterable[slice | Rows]) -> Iterator[Tensor]:
        """The images of one part after another, in memory that does not grow with the split.

        Yields:
            uint8, or float32 from 0 to 255 for images of 16 bits (`pixel_values`).

        Raises:
            ValueError, OSError: as for `StreamedImages`.
        """
        for images in self._in_order(parts):
            yield pixel_values(shared_tensor(images))

    def _in_order(self, parts: Iterable[slice | Rows]) -> Iterator[Stored]:
        images, every = self.images, np.arange(len(self))
        if isinstance(images, StreamedImages):
            yield from images.in_order(every[part] for part in parts)
            return
        for part in parts:
            yield np.array(images[part])
            # pages that were read count as memory of the process until they are given back
            pages: mmap | None = getattr(images, "_mmap", None)
            if pages is not None:
                pages.madvise(MADV_DONTNEED)


def load_split(folder: str | Path, split: SplitName, budget: Budget = DEFAULT) -> Split:
    """Load a split from shards. If its decoded images fit the budget, the first call decodes them all.

    Args:
        folder: folder of the shards, or its address (`http://`, `https://`, `s3://` ...).
        split: "train", "val" or "test".
        budget: how much may be kept in the scratch folder. It decides how images are read, and never which.

    Raises:
        ValueError: there is no such split, index.json is wrong, or a tar or an image is damaged; names the
            file, the key and the reason. An image of a streamed split is decoded only when it is read.
        OSError: a file cannot be read or written.
    """
    if split not in SPLITS:
        raise ValueError(f"split: given {split!r}, allowed: {', '.join(SPLITS)}")
    shards = open_shards(folder, budget)
    index, columns = shards.index, shards.index.splits[split]
    labels = np.array(columns.labels, dtype=np.int64)
    size = len(columns) * int(np.prod(index.image_shape)) * np.dtype(index.pixels).itemsize
    fits = size <= budget.decoded_mb * 2**20
    images = decoded(shards, split) if fits else StreamedImages(shards, split)
    return Split(split, images, labels, list(columns.keys), index)


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
        images, store = split.images, torch.device("cpu")
        self._images: Tensor | StreamedImages
        if isinstance(images, StreamedImages):
            self._images = images
        else:
            if self._device.type != "cpu" and images.nbytes <= _RESIDENT_BYTES:
                store = self._device
            self._images = shared_tensor(images).to(store)
        self._labels = torch.from_numpy(split.labels).to(store)

    def __len__(self) -> int:
        """Steps per epoch."""
        return self._count // self._batch_size if self._drop_last else -(-self._count // self._batch_size)

    def epoch(
        self, epoch: int, start: int = 0
    ) -> Iterator[tuple[UInt8[Tensor, "b c h w"] | Float32[Tensor, "b c h w"], Int[Tensor, " b"]]]:
        """The batches of an epoch, from step `start` on.

        Yields:
            Images and labels (int64), both on the device. Images are uint8, or float32 from 0 to 255 for
            images of 16 bits (`pixel_values`).

        Raises:
            ValueError: the epoch has fewer than `start` steps; or as for `StreamedImages`.
            OSError: as for `StreamedImages`.
        """
        if not 0 <= start <= len(self):
            raise ValueError(f"start: given {start}, allowed: 0 to {len(self)}")
        random = np.random.Generator(np.random.Philox(key=[self._seed, epoch]))
        order = random.permutation(self._total)[self._rank :: self._world][: self._count]
        size = self._batch_size
        parts = [order[step * size : (step + 1) * size] for step in range(start, len(self))]
        for part, images in zip(parts, self._stored(parts), strict=True):
            labels = self._labels[torch.from_numpy(part).to(self._labels.device)]
            yield pixel_values(self._placed(images)), self._placed(labels)

    def _stored(self, parts: list[Rows]) -> Iterator[Tensor]:
        """The stored images of each part."""
        if isinstance(self._images, StreamedImages):
            yield from map(shared_tensor, self._images.in_order(parts))
            return
        for part in parts:
            # on uint8, index_select is several times faster than indexing
            yield self._images.index_select(0, torch.from_numpy(part).to(self._images.device))

    def _placed(self, batch: Tensor) -> Tensor:
        if batch.device == self._device or self._device.type == "cpu":
            return batch
        if self._device.type == "cuda":
            batch = batch.pin_memory()
        return batch.to(self._device, non_blocking=True)
