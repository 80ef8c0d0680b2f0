"""The settings of one question as one value, from the slider or the command line down to the engine."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, TypedDict, get_args

from omnivmed.defaults import DEFAULT_NEW_TOKENS, DEFAULT_REFERENCE, DEFAULT_THRESHOLD, Reference
from omnivmed.errors import QuestionError
from omnivmed.limits import Limits

MOST_NEIGHBOURS = 2


@dataclass(frozen=True, slots=True)
class AskOptions:
    """How a study is shown to the model and how long it may speak.

    threshold: 0..2 on pixels in [-1, 1]. reference: see `omnivmed.pruning.keep_mask`. max_frames: slices or frames
    taken; None = the model's own. max_new_tokens: longest answer. place: look at this slice or frame alone (counted
    from 0), as a still at the whole budget of one; neighbours: with so many on either side of it, 0 to 2, as a small
    volume or clip at the budget of slices and frames. span_s: look at this stretch of a clip alone, (from, to) in
    seconds, `math.inf` for its end; as many frames as of the whole clip, closer together. alone: the model alone,
    nothing from the file and no fixed replies: for measuring it. rule: another pruning rule, one of
    `omnivmed.pruning.rules.RULES`, in place of threshold and reference; match: it keeps exactly as many tokens as those
    would.
    """

    threshold: float = DEFAULT_THRESHOLD
    reference: Reference = DEFAULT_REFERENCE
    max_frames: int | None = None
    max_new_tokens: int = DEFAULT_NEW_TOKENS
    place: int | None = None
    neighbours: int = 0
    span_s: tuple[float, float] | None = None
    alone: bool = False
    rule: str | None = None
    match: bool = False

    @classmethod
    def bounded(
        cls,
        limits: Limits,
        threshold: Any = DEFAULT_THRESHOLD,
        reference: Any = DEFAULT_REFERENCE,
        max_frames: Any = None,
        max_new_tokens: Any = DEFAULT_NEW_TOKENS,
    ) -> AskOptions:
        """Whatever a client sent, made safe: numbers out of range go to the nearest end, nonsense to the default.

        max_frames: 0 counts as None.
        """
        frames = int(_number(max_frames, 0, 0, limits.max_frames))
        return cls(
            threshold=_number(threshold, DEFAULT_THRESHOLD, 0.0, 2.0),
            reference=reference if reference in get_args(Reference) else DEFAULT_REFERENCE,
            max_frames=frames or None,
            max_new_tokens=int(_number(max_new_tokens, DEFAULT_NEW_TOKENS, 1, limits.max_new_tokens)),
        )


class AskSettings(TypedDict, total=False):
    """The same one by one, as keyword arguments of `ask`, `stream` and `answer`."""

    threshold: float
    reference: Reference
    max_frames: int | None
    max_new_tokens: int
    place: int | None
    neighbours: int
    span_s: tuple[float, float] | None
    alone: bool
    rule: str | None
    match: bool


def with_settings(options: AskOptions | None, settings: AskSettings) -> AskOptions:
    """`options` (or the defaults) with single settings on top. Raises TypeError for an unknown name."""
    return replace(options or AskOptions(), **settings)


def checked(options: AskOptions, limits: Limits) -> AskOptions:
    """The options within the limits: too many frames or tokens are cut down.

    Raises QuestionError for a threshold out of range, an unknown reference or an unknown rule.
    """
    from omnivmed.pruning.rules import RULES

    threshold, names = options.threshold, get_args(Reference)
    if not (math.isfinite(threshold) and 0 <= threshold <= 2):
        raise QuestionError(
            "Unsupported",
            f"The pruning threshold lies between 0 and 2 (pixels in [-1, 1]); got {threshold:g}.",
        )
    if options.reference not in names:
        raise QuestionError(
            "Unsupported", f"The pruning reference is one of {', '.join(names)}; got {options.reference}."
        )
    if options.rule is not None and options.rule not in RULES:
        raise QuestionError(
            "Unsupported", f"The pruning rule is one of {', '.join(RULES)}; got {options.rule}."
        )
    frames = options.max_frames
    return AskOptions(
        threshold=float(threshold),
        reference=options.reference,
        max_frames=None if frames is None else max(1, min(int(frames), limits.max_frames)),
        max_new_tokens=max(1, min(int(options.max_new_tokens), limits.max_new_tokens)),
        place=None if options.place is None else int(options.place),
        neighbours=max(0, min(int(options.neighbours), MOST_NEIGHBOURS)) if options.place is not None else 0,
        span_s=None if options.span_s is None else (float(options.span_s[0]), float(options.span_s[1])),
        alone=options.alone,
        rule=options.rule,
        match=options.rule is not None and bool(options.match),
    )


def _number(value: Any, default: float, low: float, high: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return default
    return default if math.isnan(number) else min(max(number, low), high)
