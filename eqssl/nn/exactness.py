"""The rule that keeps windows exact: no equivariance without the right parity."""

from __future__ import annotations


def is_exact(size: int, kernel: int, stride: int, padding: int) -> bool:
    """Whether a window commutes with quarter turns and mirroring on a `size` x `size` map.

    It does iff (size + 2 padding - kernel) is a multiple of the stride: the windows then lie
    symmetrically about the centre.

    Example:
        >>> is_exact(28, kernel=3, stride=2, padding=1), is_exact(29, kernel=3, stride=2, padding=1)
        (False, True)
    """
    return (size + 2 * padding - kernel) % stride == 0


def check_window(size: int, kernel: int, stride: int, padding: int, layer: str) -> None:
    """Refuse a window that breaks the symmetry.

    Raises:
        ValueError: names the layer, the size, and the nearest sizes that work.
    """
    if is_exact(size, kernel, stride, padding):
        return
    below = next((s for s in range(size - 1, 0, -1) if is_exact(s, kernel, stride, padding)), None)
    above = next(s for s in range(size + 1, size + stride + 1) if is_exact(s, kernel, stride, padding))
    nearest = f"{above}" if below is None else f"{below} or {above}"
    raise ValueError(
        f"{layer}: a {kernel} x {kernel} window with stride {stride} and padding {padding} is not "
        f"equivariant on a map of {size} x {size} pixels; the nearest sizes that work: {nearest}"
    )
