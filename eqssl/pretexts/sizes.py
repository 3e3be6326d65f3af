"""Whether encoders keep their symmetry on views of the sizes that settings ask for; none is built."""

from __future__ import annotations

from eqssl.config.params import Params


def check_view_sides(params: Params) -> None:
    """Refuse views of a size at which the encoder of a cell would lose its symmetry.

    The cells are those of the grid and the active one.

    Raises:
        ValueError: names the setting, the layer, and the nearest sizes that work.
    """
    cells = {(cell.group, cell.pretext): None for cell in (params.cell, *params.cells())}
    for group, pretext in cells:
        for key, side in params.pretexts[pretext].view_sides(f"pretexts.{pretext}").items():
            # not before there is such a view: importing torch and escnn takes seconds
            from eqssl.encoders.build import check_side

            try:
                check_side(params.encoder, group, side)
            except ValueError as error:
                raise ValueError(f"{key}: given {side} with group {group!r}: {error}") from None
