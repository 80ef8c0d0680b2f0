"""The settings of a question where nobody chose otherwise; the one place that holds these values."""

from __future__ import annotations

from typing import Literal

Reference = Literal["previous", "last_kept", "off"]
"""What a patch is compared with: the frame before (the paper), the patch last kept at its place, or nothing: with "off"
every token is kept, whatever the threshold. (Threshold 0 is less than that: it drops exact repeats.)"""

DEFAULT_THRESHOLD = 0.1
"""On pixels in [-1, 1] (OmniV-Med §2.2, docs/decisions/0001-threshold-unit.md)."""
DEFAULT_REFERENCE: Reference = "previous"
DEFAULT_NEW_TOKENS = 128
