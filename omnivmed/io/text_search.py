"""`find_text`: a worker looks for text burned into the pixels of a study that is open."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnivmed.errors import StudyError
from omnivmed.frames import Box
from omnivmed.io import burned_in, pool, wire
from omnivmed.limits import LOCAL, Limits
from omnivmed.study import Study
from omnivmed.window import apply_window

ALIKE = 0.9  # a window of this share of all numbers shows what the whole range would
MISSING = (
    "Text in pictures is looked for with two packages that are not installed here; "
    "add them with: pip install 'omnivmed[text]'."
)


def can_find_text() -> bool:
    """Whether `find_text` works here: the extra `text` is installed and workers can be started."""
    return burned_in.installed() and pool.supported()


def find_text(study: Study, limits: Limits = LOCAL) -> Study:
    """The same study with `text_boxes`: where text was found in its first, middle and last picture.

    Each is searched as it is shown and, grey ones, over the whole range of their numbers too, so that what a window
    hides is found. Decoding was the reader's; the search runs in a worker of its own behind the same walls. It gives
    places only, and it misses some: docs/security.md says how many.

    Raises StudyError: Unsupported without the extra `text`, TooLarge when it takes longer than the limits allow.
    """
    if not can_find_text():
        raise StudyError("Unsupported", MISSING)
    return study.with_text(_ask_worker(pictures_of(study), limits))


def frames_searched(study: Study) -> list[int]:
    """First, middle and last frame."""
    t = study.shape[0]
    return sorted({0, t // 2, t - 1})


def pictures_of(study: Study) -> NDArray[np.uint8]:
    """uint8 (n, H, W, 3): what the worker is given."""
    indices = frames_searched(study)
    shown = study.take(indices)
    if study.channels == 3:
        return shown
    views = [shown]
    for index in indices:
        values = study.values(index, index + 1)
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        if high > low and (study.window is None or study.window[1] < ALIKE * (high - low)):
            grey = apply_window(values, (low + high) / 2, high - low, study.inverted)
            views.append(np.repeat(grey[..., None], 3, axis=3))
    return np.concatenate(views)


def _ask_worker(pictures: NDArray[np.uint8], limits: Limits) -> list[Box]:
    block = wire.Block.create(pictures.nbytes)
    np.frombuffer(block.memory, np.uint8, pictures.size).reshape(pictures.shape)[...] = pictures
    try:
        with pool.turn(limits):
            child = pool.FAMILY.fork(limits)
            try:
                child.send(
                    {"task": "text", "limits": asdict(limits), "shape": list(pictures.shape)}, [block.fd]
                )
                deadline = time.monotonic() + limits.worker_total_s
                while True:
                    message, extra = child.receive(deadline)
                    wire.close_all(extra)
                    if message.get("op") != "progress":
                        break
            except wire.Closed:
                raise pool.death(child.end(), limits) from None
            finally:
                child.end()
    finally:
        block.close_fd()
    if message.get("op") != "text":
        raise pool.reported(message)
    return checked_boxes(message.get("boxes"), pictures.shape[1:3])


def checked_boxes(told: Any, size: Sequence[int]) -> list[Box]:
    """Boxes (top, left, bottom, right) of a worker's report that lie within the picture; Corrupt for anything else."""
    boxes: list[Box] = []
    try:
        for entry in list(told)[: burned_in.MOST_BOXES]:
            top, left, bottom, right = (int(n) for n in entry)
            if not (0 <= top < bottom <= size[0] and 0 <= left < right <= size[1]):
                raise ValueError("box")
            boxes.append((top, left, bottom, right))
    except (TypeError, ValueError):
        raise StudyError("Corrupt", "The search for text did not end well; try again.") from None
    return boxes
