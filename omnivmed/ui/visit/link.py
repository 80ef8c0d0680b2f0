"""An address that says what to show: a sample and a threshold. The rest of it is read by the viewer alone.

`?study=ct_abdomen&threshold=0.15&slice=41&view=distance&window=40,400`: names of samples and numbers, nothing of a
study of one's own, so it may be handed to a class.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from omnivmed.ui.visit.samples import SAMPLES


@dataclass(frozen=True)
class Link:
    """`study`: key of a sample; `threshold`: 0 to 2. None where the address does not say, or says nonsense."""

    study: str | None = None
    threshold: float | None = None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Link:
        """What an address' query says."""
        wanted = query.get("study")
        study = wanted if any(wanted == sample.key for sample in SAMPLES) else None
        try:
            threshold = float(query.get("threshold", "nan"))
        except ValueError:
            threshold = math.nan
        return cls(study, threshold if 0 <= threshold <= 2 else None)
