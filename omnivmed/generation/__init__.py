"""Drawing, as an optional expert on the understanding model: nothing of it is loaded where its weights are not.

What leaves this package is stamped (`result.py`, `omnivmed.provenance`). Importing it imports no torch.
"""

from __future__ import annotations

from omnivmed.generation.result import CounterfactualResult, GeneratedImage

__all__ = ["CounterfactualResult", "GeneratedImage"]
