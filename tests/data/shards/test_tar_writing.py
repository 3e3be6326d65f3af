"""Tars of our own have the very bytes of WebDataset's."""

import hashlib
import io

import numpy as np
from webdataset import TarWriter

from eqssl.data.shards.tar_writing import PlainTar
from eqssl.data.shards.ustar import members


def test_tars_equal_those_of_webdataset_byte_by_byte(tmp_path):
    random = np.random.default_rng(0)
    given = [(f"key_{'x' * (i % 85)}-{i}", random.bytes(int(random.integers(0, 3000)))) for i in range(200)]
    theirs, path = io.BytesIO(), tmp_path / "ours.tar"
    with TarWriter(theirs, encoder=False, mtime=0) as tar:
        for i, (key, content) in enumerate(given):
            tar.write({"__key__": key, "jpg": content, "cls": str(i).encode()})
    places = []
    with path.open("wb") as file:
        ours = PlainTar(file)
        for i, (key, content) in enumerate(given):
            ours.add(f"{key}.cls", str(i).encode())
            places.append(ours.add(f"{key}.jpg", content))
        size, sha256 = ours.close()
    assert path.read_bytes() == theirs.getvalue()
    assert (size, sha256) == (len(theirs.getvalue()), hashlib.sha256(theirs.getvalue()).hexdigest())
    assert [(m.offset, m.size) for m in members(path) if m.name.endswith(".jpg")] == places
