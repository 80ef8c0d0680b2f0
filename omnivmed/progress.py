"""How long work tells where it is: one kind of callback for reading, loading, downloading and converting."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with (stage, units done, units in all); a total of 0 means that nobody knows how much there is."""
