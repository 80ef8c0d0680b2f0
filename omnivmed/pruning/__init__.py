"""Patches → KeepMask: which visual tokens of consecutive slices or frames say something new."""

from omnivmed.pruning.mask import KeepMask
from omnivmed.pruning.rule import keep_mask, prune

__all__ = ["KeepMask", "keep_mask", "prune"]
