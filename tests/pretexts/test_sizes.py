import pytest
import yaml
from entries import PARAMS

from eqssl import cli
from eqssl.config.params import Params, merged
from eqssl.encoders.build import check_side
from eqssl.pretexts.sizes import check_view_sides


def settings(group: str, size: int, **change) -> Params:
    """The settings with small views, and an encoder of which few sizes keep the symmetry."""
    crops = {"count": 2, "size": size, "scale": [0.1, 0.3]}
    values = {
        "pretext": "inv_swav",
        "group": group,
        "encoder": {"downsampling": "strided"},
        "grid": {"pretext": ["inv_dino"], "group": [group]},
        "pretexts": {"inv_swav": {"crops": crops}, "inv_dino": {"crops": crops}},
    }
    return Params.check(merged(merged(PARAMS.plain(), values), change))


def test_small_views_that_break_the_symmetry_are_refused_before_anything_is_built():
    reason = r"^pretexts\.inv_swav\.crops\.size: given 12 with group 'C4': .* that work: 9 or 17$"
    with pytest.raises(ValueError, match=reason):
        check_view_sides(settings("C4", 12))
    with pytest.raises(ValueError, match=r"^pretexts\.inv_dino\.crops\.size: given 12 with group 'D4'"):
        check_view_sides(settings("D4", 12, pretext="random"))
    part = {"weight": 1.0, "pretext": settings("C4", 12).pretexts["inv_dino"].alone().plain()}
    summed = {"pretext": "sum", "pretexts": {"sum": {"task": "combined", "parts": {"small": part}}}}
    with pytest.raises(ValueError, match=r"^pretexts\.sum\.parts\.small\.pretext\.crops\.size: given 12"):
        check_view_sides(settings("C4", 12, **summed))


@pytest.mark.parametrize(
    ("group", "size", "change"),
    [
        ("C4", 9, {}),
        ("trivial", 12, {}),
        ("C4", 12, {"encoder": {"downsampling": "pool"}}),
        ("C4", 12, {"pretext": "random", "grid": {"pretext": ["random"]}}),
    ],
)
def test_small_views_are_accepted_where_nothing_breaks_or_no_cell_has_them(group, size, change):
    check_view_sides(settings(group, size, **change))


def test_the_check_of_settings_refuses_them(tmp_path, capsys):
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(settings("C4", 12).plain()))
    assert cli.main(["check", "--params", str(path)]) == 1
    found = capsys.readouterr()
    assert found.out == ""
    assert found.err.startswith(
        f"eqssl: error: {path}: pretexts.inv_swav.crops.size: given 12 with group 'C4'"
    )


@pytest.mark.parametrize("side", [9, 12, 17, 28])
def test_a_side_is_refused_exactly_if_an_encoder_for_it_is(side):
    from eqssl.encoders import build_encoder

    def accepts(check) -> bool:
        try:
            check()
        except ValueError:
            return False
        return True

    encoder = settings("C4", 9).encoder
    built = accepts(lambda: build_encoder(encoder, "C4", (1, side, side), [0.5], [0.5]))
    assert accepts(lambda: check_side(encoder, "C4", side)) is built is (side in (9, 17))
