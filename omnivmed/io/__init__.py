"""File(s) to `Study`: one door, one worker, one place for limits."""

from __future__ import annotations
