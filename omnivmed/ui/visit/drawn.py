"""One picture that was drawn for a visitor, as the gallery holds it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from omnivmed.generation.abilities import Task
from omnivmed.provenance import Origin


@dataclass(frozen=True)
class Drawn:
    """One picture of the gallery. `files`: the stamped PNG, and for a changed picture what was given and the heat.

    id: a random word for the page. changed: share of a given picture that is different, None for one drawn from words.
    """

    id: str
    files: tuple[Path, ...]
    origin: Origin
    text: str
    task: Task
    of_study: bool = False
    changed: float | None = None
    no_change: bool = False

    @property
    def path(self) -> Path:
        """The stamped PNG."""
        return self.files[0]
