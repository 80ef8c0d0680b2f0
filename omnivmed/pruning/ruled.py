"""A keep mask under any of the rules side by side, for asking a model under it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from omnivmed.defaults import DEFAULT_REFERENCE, DEFAULT_THRESHOLD, Reference
from omnivmed.pruning.mask import KeepMask
from omnivmed.pruning.rule import keep_mask
from omnivmed.pruning.rules import RULES, tokens_of
from omnivmed.vision.patches import Patches

MERGES = "merging"


def needs_features(name: str | None) -> bool:
    """Whether this rule looks at what the encoder made of the study; None is OmniV-Med's own, which does not."""
    return name is not None and RULES[name].looks == "features" and name != MERGES


def ruled_mask(
    patches: Patches,
    name: str | None,
    threshold: float = DEFAULT_THRESHOLD,
    reference: Reference = DEFAULT_REFERENCE,
    match: bool = False,
    features: np.ndarray | None = None,
) -> KeepMask:
    """The mask of the rule `name`, one of `omnivmed.pruning.rules.RULES`, at its own setting; None: `keep_mask`.

    match: keep exactly as many tokens as `keep_mask` does at `threshold` and `reference`. features: float32 (t·h·w, c)
    for rules that look at them (`needs_features`); they take pixels without. The distances are those of `keep_mask`,
    for drawing. A study of one frame keeps everything, as under every rule.

    Raises ValueError for an unknown name, and as `keep_mask` and `tokens_of` do.
    """
    plain = keep_mask(patches, threshold, reference)
    if name is None:
        return plain
    if name not in RULES:
        raise ValueError(f"there is no rule {name!r}; choose from {', '.join(RULES)}")
    keep = plain.keep
    if len(keep) > 1:
        choice = RULES[name].select(tokens_of(patches, features), plain.kept if match else None)
        keep = choice.keep.reshape(keep.shape)
    return replace(plain, keep=keep, rule=name, merge=name == MERGES)
