"""Two systems on the same questions: the difference of their means, with a paired interval over images or cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from omnivmed.eval import metrics
from omnivmed.eval.intervals import paired_difference
from omnivmed.records import Item

Value = Callable[[str, str], float]
"""(prediction, reference) -> 0..1"""


def _recall(prediction: str, reference: str) -> float:
    return metrics.llava_med_overlap(prediction, reference).recall


def _rule(prediction: str, reference: str) -> float:
    if reference.lower().strip() in ("yes", "no"):
        return float(metrics.yes_no_xor(prediction, reference))
    return float(metrics.exact_match(prediction, reference))


MEASURES: dict[str, tuple[tuple[str, bool | None, Value], ...]] = {
    "A": (
        ("open recall", False, _recall),
        ("closed accuracy", True, lambda p, r: float(metrics.llava_med_closed(p, r))),
        ("closed accuracy (whole words)", True, lambda p, r: float(metrics.whole_words(p, r))),
    ),
    "B without judge": (("accuracy", None, _rule),),
    "surgical": (("accuracy", None, lambda p, r: float(metrics.match_label(p, [r]) is not None)),),
    "M3D": (
        ("closed accuracy", True, lambda p, r: float(metrics.choice_letter_correct(p, r[0]))),
        ("open recall", False, _recall),
    ),
}
"""Protocol -> (measure, closed questions only / open only / None for all, value of one answer)."""


@dataclass(frozen=True)
class Comparison:
    """``first`` minus ``second``; low and high are a 95 % interval, over groups drawn with replacement."""

    protocol: str
    measure: str
    first: str
    second: str
    value: float
    low: float
    high: float
    n: int

    @property
    def clear(self) -> bool:
        """The interval does not hold 0."""
        return self.low > 0 or self.high < 0

    def text(self) -> str:
        """The difference with its interval in percentage points, and whether the interval holds 0: one line."""
        verdict = "" if self.clear else "; the interval holds 0: no difference shown"
        return (
            f"{self.first} - {self.second}, {self.measure} ({self.protocol}, n={self.n}): "
            f"{100 * self.value:+.1f} [{100 * self.low:+.1f}, {100 * self.high:+.1f}]{verdict}"
        )


def compare(
    protocol: str,
    items: Sequence[Item],
    first: tuple[str, Mapping[str, str]],
    second: tuple[str, Mapping[str, str]],
) -> list[Comparison]:
    """Every measure of the protocol that has a value per answer; none for protocols without. Names with answers."""
    out = []
    for measure, closed, value in MEASURES.get(protocol, ()):
        chosen = [item for item in items if closed is None or item.closed == closed]
        if not chosen:
            continue
        ours, theirs = ([value(side[1][i.id], i.answer) for i in chosen] for side in (first, second))
        mean, low, high = paired_difference(ours, theirs, [i.group or i.id for i in chosen])
        out.append(Comparison(protocol, measure, first[0], second[0], mean, low, high, len(chosen)))
    return out
