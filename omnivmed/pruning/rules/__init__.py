"""Pruning rules side by side: ours, those of other engines, and baselines, one module each, by name.

Written from papers and documentation. What OmniV-Med uses is `omnivmed.pruning.keep_mask`; these are for comparing.
"""

from omnivmed.pruning.rules import (
    baselines,
    frame_share,
    last_kept,
    merging,
    previous,
    rate,
    released,
    run_length,
    whole_slice,
)
from omnivmed.pruning.rules.base import Choice, Rule, Tokens, exactly, tokens_of

RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        previous.RULE,
        last_kept.RULE,
        released.X255,
        released.DEFECT,
        run_length.RULE,
        whole_slice.RULE,
        rate.RULE,
        frame_share.RULE,
        merging.RULE,
        baselines.RANDOM,
        baselines.FRAMES,
    )
}
"""Every rule by its name, ours first, baselines last."""

__all__ = ["RULES", "Choice", "Rule", "Tokens", "exactly", "tokens_of"]
