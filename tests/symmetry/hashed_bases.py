"""Hashes of filter bases. Run as a program, it takes FOLDER GROUPS KERNELS (lists with commas).

Escnn caches its solutions between processes in its own package. Here FOLDER is used instead.
"""

import hashlib
import os
import sys
from collections.abc import Sequence

from eqssl.symmetry.filter_bases import filter_basis


def digest(names: Sequence[str], kernels: Sequence[int]) -> str:
    """One hash of all bases: every row to the bit, and which row fills what."""
    digested = hashlib.sha256()
    for name in names:
        for kind in ("lift", "group"):
            for kernel in kernels:
                basis = filter_basis(name, kind, kernel)
                for tensor in (basis.rows, basis.index):
                    digested.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
                    digested.update(tensor.numpy().tobytes())
    return digested.hexdigest()


def keep_escnns_solutions_in(folder: str) -> None:
    import joblib

    class Memory(joblib.Memory):
        def __init__(self, location, **options):
            super().__init__(folder if f"{os.sep}escnn{os.sep}" in location else location, **options)

    joblib.Memory = Memory


if __name__ == "__main__":
    keep_escnns_solutions_in(sys.argv[1])
    print(digest(sys.argv[2].split(","), [int(kernel) for kernel in sys.argv[3].split(",")]))
