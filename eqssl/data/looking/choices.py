"""Settings that fit a data set, each with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from eqssl.config.params import Params
from eqssl.config.plain import counted
from eqssl.data.looking.dealing import Dealing
from eqssl.data.looking.survey import Survey

SIZES = (28, 32, 48, 64, 96, 128, 224)
GROUPS = ("trivial", "C4")
PRETEXTS = ("eq_labels", "inv_contrastive", "contrastive", "random")
_PERCENTILES = (0.1, 99.9)


@dataclass
class Choices:
    """Settings and why they were chosen.

    Attributes:
        values: key -> value.
        reasons: key -> a few words.
    """

    values: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, key: str, value: Any, reason: str) -> None:
        """Choose a value."""
        self.values[key], self.reasons[key] = value, reason


def entry(survey: Survey, given: Mapping[str, Any]) -> Choices:
    """How the images of a data set are stored.

    Args:
        survey: the data set.
        given: settings that are decided already; they are kept.

    Raises:
        ValueError: the images do not fit together.
    """
    chosen = Choices()
    chosen.add("turned", False, "the images are stored as they are, without a turn of their own")
    if not survey.labelled:
        chosen.add("labelled", False, "no image has a label")
    chosen.add("size", *_size(survey))
    _channels(survey, given, chosen)
    _depth(survey, given, chosen)
    if survey.pixels.transparent:
        if given.get("alpha") == "refuse":
            name, count = survey.pixels.transparent[0], counted(len(survey.pixels.transparent), "image")
            raise ValueError(
                f"data set {survey.rows.dataset}: {count} with transparent pixels, such as {name}; "
                "alpha: given 'refuse', allowed: black or white"
            )
        chosen.add("alpha", "black", "some pixels are transparent; black is put behind them")
    chosen.values = {**given, **{key: value for key, value in chosen.values.items() if key not in given}}
    chosen.reasons |= {key: "as given" for key in given if key in chosen.reasons}
    return chosen


def _size(survey: Survey) -> tuple[int, str]:
    sizes = survey.pixels.sizes
    sides = [min(size) for size in sizes.elements()]
    middle = int(median(sides))
    if len(sizes) == 1 and len(set(*sizes)) == 1 and middle <= SIZES[-1]:
        return middle, "the images' own"
    fit = [size for size in SIZES if size <= middle]
    if not fit:
        return middle, "the median shorter side"
    return fit[-1], f"the largest of {', '.join(map(str, SIZES))} up to the median shorter side, {middle}"


def _channels(survey: Survey, given: Mapping[str, Any], chosen: Choices) -> None:
    found = set(survey.pixels.channels)
    wanted = given.get("channels")
    if wanted is not None:
        other = sorted(found - {wanted} - {1: {3}, 3: {1}}.get(wanted, set()))
        if other:
            raise ValueError(
                f"data set {survey.rows.dataset}: images have {' and '.join(map(str, other))} channels; "
                f"channels: given {wanted}, allowed: as many, 1 for RGB and 3 for gray"
            )
        return
    if found == {1, 3}:
        chosen.add("channels", 3, "some images are gray and some RGB; gray is repeated to RGB")
    elif found == {3} and survey.looked < len(survey.rows):
        chosen.add("channels", 3, "those looked at are RGB; a gray one among the others is repeated to RGB")
    elif len(found) > 1:
        raise ValueError(
            f"data set {survey.rows.dataset}: images have {' and '.join(map(str, sorted(found)))} channels, "
            "allowed: as many in all, or 1 and 3; move some into another folder, or take some with `files`"
        )


def _depth(survey: Survey, given: Mapping[str, Any], chosen: Choices) -> None:
    pixels = survey.pixels
    if set(pixels.types) == {"uint8"}:
        return
    if "uint8" in pixels.types:
        raise ValueError(
            f"data set {survey.rows.dataset}: {pixels.types['uint8']} of {pixels.seen} images have 8 bits "
            "per channel and the others more; save all alike, or move some into another folder"
        )
    if "range" not in given:
        if pixels.low == pixels.high and survey.looked == len(survey.rows):
            raise ValueError(
                f"data set {survey.rows.dataset}: every pixel of every image is {pixels.low:g}; "
                "there is no range of intensities"
            )
        reason = (
            "more than 8 bits need a range; the values at these percentiles of the training images "
            "become black and white"
        )
        chosen.add("range", {"percentiles": list(_PERCENTILES)}, reason)


def grid(params: Params, name: str, dealing: Dealing) -> Choices:
    """A small grid, and what else has to change so that the data set can be trained on.

    Keys are those of params.yaml, with dots.

    Raises:
        ValueError: params.yaml has no pretext that fits.
    """
    chosen = Choices()
    wanted = [*PRETEXTS, *(("supervised",) if dealing.supervised else ())]
    pretexts = [
        pretext
        for pretext in wanted
        if pretext in params.pretexts
        and not any(map(params.pretexts[pretext].refusal, GROUPS))
        # an entry may have batches of its own, which are not changed
        and not _own_batch(params, pretext) > dealing.counts["train"]
    ]
    if not pretexts:
        raise ValueError(f"pretexts: has none of {', '.join(wanted)}")
    reason = "with the symmetry and without, and an untrained encoder to compare with"
    if not dealing.supervised:
        reason += "; not `supervised`, which needs labels of two classes or more"
    chosen.add("dataset", name, "the active cell, the one that `dvc exp run` executes")
    if params.pretext not in pretexts:
        chosen.add("pretext", pretexts[0], "of the active cell")
    if params.group not in GROUPS:
        chosen.add("group", GROUPS[-1], "of the active cell")
    _sizes(params, dealing, chosen)
    chosen.add("grid.dataset", [name], "")
    chosen.add("grid.group", list(GROUPS), "no symmetry, and quarter turns")
    chosen.add("grid.pretext", pretexts, reason)
    chosen.add("grid.seed", [0], "one seed; more tell chance from effect")
    return chosen


def _own_batch(params: Params, pretext: str) -> int:
    """The batches that a pretext asks for itself; 0 if it does not."""
    changed = params.pretexts[pretext].pretrain
    return int(changed.plain().get("batch_size", 0)) if changed else 0


def _sizes(params: Params, dealing: Dealing, chosen: Choices) -> None:
    """Batches and tars that are no larger than what there is."""
    if dealing.tars < params.shards.count:
        smallest = min(dealing.counts.values())
        reason = f"the smallest split has {smallest} images; holds for all data sets"
        chosen.add("shards.count", dealing.tars, reason)
    train = dealing.counts["train"]
    if params.pretrain.batch_size > train:
        if train < 2:
            raise ValueError(
                f"data set {chosen.values['dataset']}: has one training image, allowed: at least 2"
            )
        batch = 1 << max(1, (train // 2).bit_length() - 1)
        chosen.add(
            "pretrain.batch_size", batch, f"there are only {train} training images; holds for all data sets"
        )
