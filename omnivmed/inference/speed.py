"""How fast a loaded model is on this machine: wall seconds, and CPU seconds, which a busy machine distorts less."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from omnivmed.inference.engine import LocalAssistant
from omnivmed.inference.runtime import Runtime
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


def measure(assistant: LocalAssistant) -> Speed:
    """Run each part once to warm up and once more against the clock. Nothing is answered or kept."""
    runtime = assistant.runtime
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


def prefill_seconds(runtime: Runtime, hurry: Callable[[], bool] = lambda: False) -> float:
    """Wall seconds to read one prompt token, from a prompt of 64 tokens and, where that took less than a second and
    nobody is in a hurry, from a longer one. The caller holds the turn."""
    special = {*runtime.stop_ids, runtime.image_token_id, runtime.video_token_id}
    ordinary = [i for i in range(1000) if i not in special]
    for length in (PROMPT, LONGER):
        began = time.perf_counter()
        runtime.begin().prefill(ordinary[:length], None)
        seconds = time.perf_counter() - began
        if seconds > PATIENCE_S or hurry():
            break
    return seconds / length


def _seconds(work: Callable[[], Any]) -> tuple[float, float]:
    work()
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu
