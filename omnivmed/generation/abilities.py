"""What loaded drawing weights can do, as their card says it: what is not named there is not offered to anybody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Task = Literal["text_to_image", "super_resolution", "translation", "counterfactual"]
TASKS: tuple[Task, ...] = get_args(Task)


@dataclass(frozen=True)
class Abilities:
    """tasks: what was trained, in the order of `TASKS`. prompts: sentences it draws well, to begin with.

    instructions: of each task that changes a picture, wordings it was trained on. trust: what it may be trusted with,
    in one or two sentences. steps: as many as its scores were measured with; settings: of each task the other numbers
    they were measured with, by the names `DrawPipeline.generate_image` takes.
    """

    tasks: tuple[Task, ...] = ()
    prompts: tuple[str, ...] = ()
    instructions: Mapping[Task, tuple[str, ...]] = field(default_factory=dict)
    trust: str = ""
    steps: int = 25
    settings: Mapping[Task, Mapping[str, float]] = field(default_factory=dict)

    @property
    def edits(self) -> tuple[Task, ...]:
        """The tasks that begin with a picture."""
        return tuple(task for task in self.tasks if task != "text_to_image")


def abilities_of(card: Mapping[str, Any]) -> Abilities:
    """Read what is named above from a card; all else of it is for other readers.

    Raises ValueError for an unknown task, a task that begins with a picture and has no instruction, or another shape.
    """
    tasks = _words(card.get("tasks", ()))
    if unknown := sorted(set(tasks) - set(TASKS)):
        raise ValueError(f"unknown task {unknown[0]!r}; known are {', '.join(TASKS)}")
    given = card.get("instructions", {})
    if not isinstance(given, Mapping):
        raise ValueError("instructions: expected an object of lists")
    known: tuple[Task, ...] = tuple(task for task in TASKS if task in tasks)
    edits = [task for task in known if task != "text_to_image"]
    instructions: dict[Task, tuple[str, ...]] = {task: _words(given.get(task, ())) for task in edits}
    if bare := [task for task, words in instructions.items() if not words]:
        raise ValueError(f"the task {bare[0]} has no instructions")
    steps = card.get("steps", 25)
    if not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps: expected a whole number of at least 1, got {steps!r}")
    scored = card.get("settings", {})
    if not isinstance(scored, Mapping) or not all(
        isinstance(scored.get(task, {}), Mapping) for task in known
    ):
        raise ValueError("settings: expected an object of numbers for each task")
    numbers: dict[Task, Mapping[str, float]] = {
        task: {k: v for k, v in scored.get(task, {}).items() if isinstance(v, (int, float))} for task in known
    }
    prompts, trust = _words(card.get("prompts", ())), str(card.get("trust", ""))
    return Abilities(known, prompts, instructions, trust, steps, {k: v for k, v in numbers.items() if v})


def _words(values: Any) -> tuple[str, ...]:
    if (
        isinstance(values, str)
        or not isinstance(values, Sequence)
        or not all(isinstance(v, str) for v in values)
    ):
        raise ValueError(f"expected a list of sentences, got {values!r}")
    return tuple(values)
