"""A page that ends with its own hash tells damage, and what it was made of."""

import pytest

from eqssl.machine.files import write_text
from eqssl.machine.sealed_text import check_sealed_text, sealed_text

SEALS = ["a" * 64, "b" * 64]
PAGE = "<html>\nNumbers: 1, 2, 3 and \N{EN DASH}\n</html>\n"


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "index.html"
    write_text(path, sealed_text(PAGE, SEALS))
    return path


def test_an_undamaged_page_passes_whatever_the_order_of_its_records(page):
    check_sealed_text(page, SEALS)
    check_sealed_text(page, reversed(SEALS))
    check_sealed_text(page)
    assert page.read_text().startswith(PAGE)


@pytest.mark.parametrize("place", [0, 12, len(PAGE) + 20])
def test_a_changed_letter_is_named(page, place):
    content = bytearray(page.read_bytes())
    content[place] ^= 1
    page.write_bytes(content)
    with pytest.raises(ValueError, match=r"index\.html: (SHA-256 is|does not end with its hash)"):
        check_sealed_text(page, SEALS)


@pytest.mark.parametrize("kept", [0, 10, len(PAGE), len(PAGE) + 100])
def test_a_page_that_is_cut_off_is_named(page, kept):
    page.write_bytes(page.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"index\.html: does not end with its hash: it is cut off"):
        check_sealed_text(page, SEALS)


def test_a_page_of_other_records_is_named(page):
    for other in (SEALS[:1], [*SEALS, "c" * 64]):
        with pytest.raises(ValueError, match=r"index\.html: was made of other records"):
            check_sealed_text(page, other)
