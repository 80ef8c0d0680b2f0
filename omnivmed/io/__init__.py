"""File(s) to `Study`: one door (`open_study`), one limited worker per study, limits in `omnivmed.limits`."""

from __future__ import annotations

from omnivmed.io.door import open_study, warm_up
from omnivmed.io.text_search import can_find_text, find_text

__all__ = ["can_find_text", "find_text", "open_study", "warm_up"]
