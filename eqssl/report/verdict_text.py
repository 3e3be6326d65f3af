"""Verdicts and differences in plain sentences, for the report and the terminal."""

from __future__ import annotations

from math import isfinite

from eqssl.evaluation.claims import Verdict
from eqssl.evaluation.paired import Difference

MINUS = "\N{MINUS SIGN}"
NOT_REPEATED = "Seeds were not repeated, so nothing is known of another training: none of this is decided."


def sentence(verdict: Verdict) -> str:
    """What a grid says of a claim: the answer, the claim, by how much, and what that rests on.

    >>> from eqssl.evaluation.claims import Verdict
    >>> none = Verdict("x", "turned labels help", "not tested", "nothing there", "acc", None, None, (), {})
    >>> sentence(none)
    'Not tested: turned labels help. Nothing there.'
    """
    return f"{_upper(verdict.verdict)}: {verdict.claim}. {evidence(verdict)}"


def evidence(verdict: Verdict) -> str:
    """What the answer to a claim rests on: the difference, its interval, seeds, pairs and the reason."""
    difference = verdict.difference
    if difference is None:
        return f"{_upper(verdict.reason)}."
    pairs = counted(len(verdict.pairs), "pair of cells", "pairs of cells")
    ends = interval(difference)
    mean = f"{points(difference.mean)} points"
    if len(difference.seeds) > 1:
        return f"{mean} (95 % interval {ends}), {seeds(difference)}, {pairs}; {verdict.reason}."
    known = f"95 % interval {ends} over test images alone" if ends else "no interval is known"
    return f"{mean} ({known}), {pairs}; seeds were not repeated, so nothing is known of another training."


def points(share: float) -> str:
    """A difference of accuracies in points, with its sign.

    >>> points(0.0071), points(-0.2), points(-0.00001)
    ('+0.7', '−20.0', '0.0')
    """
    value = round(100 * share, 1) + 0.0  # no negative zero
    return f"{value:+.1f}".replace("-", MINUS) if value else "0.0"


def interval(difference: Difference) -> str:
    """The ends of the 95 % interval in points; empty if it is not known."""
    if not (isfinite(difference.low) and isfinite(difference.high)):
        return ""
    return f"{points(difference.low)} to {points(difference.high)}"


def seeds(difference: Difference) -> str:
    """How many seeds there are, and how many of several agree with the sign of the mean."""
    count = len(difference.seeds)
    if count == 1:
        return "1 seed"
    same = sum(value * difference.mean > 0 for value in difference.seeds)
    return f"{count} seeds, {same} of them with this sign"


def decided(difference: Difference) -> bool:
    """Whether zero lies outside of the interval, and the interval speaks of another training.

    With one seed it does not, however far it is from zero.
    """
    return len(difference.seeds) > 1 and not difference.low <= 0 <= difference.high


def chance(difference: Difference) -> str:
    """Whether a difference is more than chance, in a sentence; with one seed that is `NOT_REPEATED`."""
    ends = interval(difference)
    if len(difference.seeds) == 1:
        return (
            f"The 95 % interval over test images alone is {ends} points." if ends else "No interval is known."
        )
    over = "seeds and test images" if difference.images else "seeds"
    start = "That is more than chance" if decided(difference) else "That can be chance"
    return f"{start}: the 95 % interval over {over} is {ends} points."


def counted(count: int, one: str, more: str) -> str:
    """A number with its noun.

    >>> counted(1, "pair", "pairs"), counted(1200, "pair", "pairs")
    ('1 pair', '1,200 pairs')
    """
    return f"{count:,} {one if count == 1 else more}"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
