"""File(s) to `Study`: one door (`open_study`), one limited worker per study, limits in `omnivmed.limits`."""

from __future__ import annotations

from omnivmed.io.door import open_study, warm_up

__all__ = ["open_study", "warm_up"]
