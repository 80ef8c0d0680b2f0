"""How fast a loaded model is on this machine: wall seconds, and CPU seconds, which a busy machine distorts less."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from omnivmed.inference.engine import Assistant
from omnivmed.study import Study
from omnivmed.vision import prepare

PROMPT, STEPS = 64, 32
LONGER, PATIENCE_S = 256, 1.0


@dataclass(frozen=True)
class Speed:
    """Seconds (wall, CPU) of one picture through the encoder, of reading 64 tokens, and of one token said."""

    encode: tuple[float, float]
    prefill: tuple[float, float]
    step: tuple[float, float]


def measure(assistant: Assistant) -> Speed:
    """Run each part once to warm up and once more against the clock. Nothing is answered or kept."""
    runtime = assistant._runtime
    rows, columns = np.mgrid[:224, :224]
    patches = prepare(Study.from_array(((rows * columns) % 251).astype(np.uint8)), assistant.budget)
    ordinary = [i for i in range(1000) if i not in runtime.stop_ids][:PROMPT]

    def speak() -> None:
        token = ordinary[0]
        for _ in range(STEPS):
            token = conversation.step(token)

    encode = _seconds(lambda: list(runtime.encode(patches)))
    prefill = _seconds(lambda: runtime.begin().prefill(ordinary, None))
    conversation = runtime.begin()
    conversation.prefill(ordinary, None)
    wall, cpu = _seconds(speak)
    return Speed(encode, prefill, (wall / STEPS, cpu / STEPS))


def seconds_per_token(assistant: Assistant) -> float | None:
    """Wall seconds to read one prompt token here, from a prompt of 64 tokens and, where that took less than a second,
    from a longer one. Takes a turn as a question would; None when somebody is being served already."""
    turns, runtime = assistant._turns, assistant._runtime
    if len(turns) or (ticket := turns.join()) is None:
        return None
    try:
        if not turns.wait(ticket, 0):
            return None
        special = {*runtime.stop_ids, runtime.image_token_id, runtime.video_token_id}
        ordinary = [i for i in range(1000) if i not in special]
        for length in (PROMPT, LONGER):
            began = time.perf_counter()
            runtime.begin().prefill(ordinary[:length], None)
            seconds = time.perf_counter() - began
            if seconds > PATIENCE_S or len(turns) > 1:  # slow, or somebody waits
                break
        return seconds / length
    finally:
        turns.leave(ticket)


def _seconds(work: Callable[[], Any]) -> tuple[float, float]:
    work()
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu
