"""Arrays in NumPy's format: what is taken, and what a hostile file cannot do."""

import io
import os
import tracemalloc

import numpy as np
import pytest

from eqssl.data.images import decode

RANDOM = np.random.default_rng(0)


def npy_of(array, **more):
    buffer = io.BytesIO()
    np.save(buffer, array, **more)
    return buffer.getvalue()


def stated(header, version=b"\x01\x00", content=b""):
    size = len(header).to_bytes(2 if version[0] == 1 else 4, "little")
    return b"\x93NUMPY" + version + size + header.encode() + content


@pytest.mark.parametrize("kind", ["u1", "<u2", ">u2", "<f4", ">f4"])
@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 1), (9, 7, 3), (40, 50, 32), (9, 9, 9)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_stored_types_are_taken_as_they_are(kind, shape, order):
    array = (RANDOM.random(shape) * 200).astype(kind, order=order)
    found = decode(npy_of(array))
    assert found.pixels.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found.pixels, array.reshape(*shape[:2], -1))
    assert found.pixels.flags.c_contiguous
    assert found.pixels.flags.writeable
    assert found.alpha is None


def test_other_numbers_become_floats_if_nothing_is_lost():
    for kind in ("i1", "i2", "i4", "i8", "u4", "u8", "f2", "f8"):
        array = RANDOM.integers(0, 100, (9, 7)).astype(kind)
        found = decode(npy_of(array)).pixels
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found[:, :, 0], array)
    flags = RANDOM.random((9, 7)) > 0.5
    np.testing.assert_array_equal(decode(npy_of(flags)).pixels[:, :, 0], flags * np.uint8(255))
    for kind, value in (("f8", 0.1), ("i4", 2**24 + 1), ("u8", 2**64 - 1), ("i8", 2**62 + 1), ("f8", 1e300)):
        with pytest.raises(ValueError, match="does not hold exactly"):
            decode(npy_of(np.full((9, 7), value, kind)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_pixels_that_are_no_numbers_are_refused(bad):
    for kind in ("f4", "f8"):
        with pytest.raises(ValueError, match="infinite or not a number"):
            decode(npy_of(np.array([[1, bad]], kind)))


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((3, 64, 64), r"np.moveaxis\(array, 0, -1\)"),
        ((3, 16, 16), r"np.moveaxis\(array, 0, -1\)"),
        ((64, 64, 33), "1 to 32 channels"),
        ((64, 64, 64), "1 to 32 channels"),
        ((5, 64, 64, 3), "a stack needs one file an image"),
        ((64,), "rows x columns"),
        ((), "rows x columns"),
        ((0, 64), "has 64 x 0 pixels"),
        ((64, 64, 0), "0 channels"),
    ],
)
def test_other_shapes_are_refused_with_a_hint(shape, reason):
    with pytest.raises(ValueError, match=reason):
        decode(npy_of(np.zeros(shape, np.uint8)))


class Mark:
    """Leaves an environment variable where it is unpickled."""

    def __reduce__(self):
        return os.putenv, ("UNPICKLED", "1")


def test_nothing_is_unpickled():
    content = npy_of(np.array([[Mark()]], object), allow_pickle=True)
    with pytest.raises(ValueError, match="holds object values"):
        decode(content)
    assert os.environ.get("UNPICKLED") is None


def test_hostile_headers_are_refused_at_once():
    tracemalloc.start()
    for content in (
        stated("{'descr': '|u1', 'fortran_order': False, 'shape': (999999, 999999)}"),
        stated("{'descr': '<f8', 'fortran_order': False, 'shape': (8192, 8192, 32)}"),
        stated("{'descr': '|u1', 'fortran_order': False, 'shape': (-5, -5)}"),
        stated("{'descr': '|u1', 'fortran_order': False, 'shape': (5, 5)}", content=bytes(24)),
        stated("{'descr': '|u1', 'fortran_order': False, 'shape': (5, 5)}", content=bytes(26)),
        stated("{'descr': '<U99', 'fortran_order': False, 'shape': (5, 5)}", content=bytes(9900)),
        stated("{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (5, 5)}", content=bytes(25)),
        stated("{'descr': '<c8', 'fortran_order': False, 'shape': (5, 5)}", content=bytes(200)),
        stated("{'descr': '<M8[s]', 'fortran_order': False, 'shape': (5, 5)}", content=bytes(200)),
        stated("{'descr': '|u1', 'fortran_order': False, 'shape': " + "(" * 9000),
        stated("__import__('os').putenv('UNPICKLED', '1')"),
        stated("{" + " " * 100_000 + "}", b"\x02\x00"),
        b"\x93NUMPY\x09\x09\0\0",
        b"\x93NUMPY",
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff",
    ):
        with pytest.raises(ValueError, match="cannot be decoded as an image") as caught:
            decode(content)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 600
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 10**8
    assert os.environ.get("UNPICKLED") is None
