"""Seconds of a picture, of its first preview, and of a step with the prompt kept or read anew every time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from omnivmed.generation.loading import load_pipeline
from omnivmed.generation.pipeline import DrawPipeline
from omnivmed.generation.sampling import Branches, Settings

PROMPT = "axial CT of the abdomen"


def shipped(folder: Path) -> DrawPipeline:
    """The pipeline of a folder on nano."""
    from omnivmed.inference import load_model
    from omnivmed.inference.torch_runtime import TorchRuntime

    runtime = load_model("nano", offline=True).runtime
    assert isinstance(runtime, TorchRuntime)
    return load_pipeline(folder, runtime.model, runtime.decoder, runtime.tokenizer)


def speed(pipe: DrawPipeline, rounds: int = 5) -> dict[str, Any]:
    """Medians in seconds, and the ratio of recomputing the prompt's keys and values at every step to keeping them.

    Both arms run in turn; their velocities are compared and must be equal.
    """
    first: list[float] = []

    def once() -> None:
        began = time.perf_counter()

        def callback(done: int, total: int, preview: Callable[[], bytes]) -> None:
            if done == 1:
                preview()
                first.append(time.perf_counter() - began)

        pipe.generate_image(PROMPT, seed=1, callback=callback)

    once()
    first.clear()
    whole = [_timed(once) for _ in range(rounds)]
    config, settings = pipe.config.autoencoder, Settings(cfg_text=1.0)
    x = torch.randn(1, config.channels, config.grid, config.grid)
    kept = Branches(pipe.expert, pipe.reader.read(PROMPT), pipe.reader.read(""), None, settings)

    def cached() -> torch.Tensor:
        with torch.inference_mode():
            return kept.velocity(x, 0.5)

    def anew() -> torch.Tensor:
        with torch.inference_mode():
            prompt, empty = pipe.reader.read(PROMPT), pipe.reader.read("")
            return Branches(pipe.expert, prompt, empty, None, settings).velocity(x, 0.5)

    equal = bool(torch.equal(cached(), anew()))
    pairs = [(_timed(cached), _timed(anew)) for _ in range(4 * rounds)]
    return {
        "threads": torch.get_num_threads(),
        "steps": pipe.abilities.steps,
        "picture_s": statistics.median(whole),
        "first_preview_s": statistics.median(first),
        "step_kept_s": statistics.median(a for a, _ in pairs),
        "step_anew_s": statistics.median(b for _, b in pairs),
        "ratio": statistics.median(b / a for a, b in pairs),
        "equal": equal,
    }


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
