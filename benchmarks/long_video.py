"""python -m benchmarks.long_video --model nano: memory and first token of one long clip, with and without pruning.

OmniV-Med's figure of long video on one card. Each arm (frames x threshold) runs in a process of its own, so that its
peak is its own; the clip is drawn by code: a still scene with a small moving square, one frame a second, about as
redundant as video can be. The budget is widened so that no frame is thinned out: every frame takes the tokens that a
frame of a short clip takes. A length that the model cannot hold says so; that is part of the result.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

SIDE, SQUARE = 224, 28
FRAMES, THRESHOLDS = (16, 64, 256), (-1.0, 0.1)
"""-1 stands for no pruning at all."""


def draw(frames: int, seed: int = 0) -> np.ndarray:
    """uint8 (T, SIDE, SIDE, 3): fixed noise, a bright square that goes on by a patch each frame."""
    rng = np.random.default_rng(seed)
    clip = np.repeat(rng.integers(40, 90, (1, SIDE, SIDE, 1), dtype=np.uint8), frames, axis=0).repeat(
        3, axis=3
    )
    places = SIDE // SQUARE
    for t in range(frames):
        row, column = t // places % places, t % places
        clip[t, row * SQUARE : (row + 1) * SQUARE, column * SQUARE : (column + 1) * SQUARE] = 230
    return clip


def measure(model: str, frames: int, threshold: float, threads: int) -> dict[str, Any]:
    """One arm: tokens, seconds to the first token, peak memory of this process (and of the card) in GB."""
    import torch

    from omnivmed.errors import OmniVMedError
    from omnivmed.inference import AskOptions, load_model
    from omnivmed.study import Study

    torch.set_num_threads(threads)
    assistant: Any = load_model(model)
    each = assistant.budget.frame_max_tokens or assistant.budget.max_tokens // assistant.budget.max_frames
    assistant.budget = replace(
        assistant.budget, max_frames=frames, max_tokens=each * frames, frame_max_tokens=each, fps=1.0
    )
    before = _peak_gb()
    study = Study.from_array(draw(frames), "video", times_s=np.arange(frames, dtype=float))
    row: dict[str, Any] = {
        "model": model,
        "frames": frames,
        "threshold": None if threshold < 0 else threshold,
    }
    try:
        # Nothing is pruned by the rule "greater than" only below every distance; identical patches count 0.
        options = AskOptions(alone=True, threshold=max(threshold, 0.0), max_frames=frames, max_new_tokens=4)
        if threshold < 0:
            study = Study.from_array(
                _never_alike(draw(frames)), "video", times_s=np.arange(frames, dtype=float)
            )
        answer = assistant.answer(study, "What happens in the video?", options=options)
        row |= {
            "tokens_before": answer.usage.visual_tokens_before,
            "tokens_after": answer.usage.visual_tokens_after,
            "first_token_s": round(answer.timings_s["first_token"], 3),
        }
    except OmniVMedError as error:
        row |= {"error": error.code}
    row |= {"loaded_gb": round(before, 3), "peak_gb": round(_peak_gb(), 3)}
    if torch.cuda.is_available():
        row["card_peak_gb"] = round(torch.cuda.max_memory_allocated() / 1e9, 3)
    return row


def _never_alike(clip: np.ndarray) -> np.ndarray:
    """Every other frame one grey level brighter: no patch equals its predecessor, and nothing is pruned at 0."""
    out = clip.copy()
    out[1::2] += 1
    return out


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Frames down, arms across."""
    lines = [
        "| frames | pruning | visual tokens | first token, s | peak memory above the loaded model, GB |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        name = "none" if row["threshold"] is None else f"{row['threshold']:g}"
        grown = row["peak_gb"] - row["loaded_gb"]
        if "error" in row:
            lines.append(f"| {row['frames']} | {name} | does not fit: {row['error']} | | {grown:.2f} |")
            continue
        tokens = f"{row['tokens_after']:,} of {row['tokens_before']:,}"
        lines.append(f"| {row['frames']} | {name} | {tokens} | {row['first_token_s']:.2f} | {grown:.2f} |")
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> int:
    """0 when done."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.long_video", description=__doc__)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--frames", type=int, nargs="+", default=list(FRAMES))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="JSON of the rows")
    args = parser.parse_args(argv)
    rows = []
    for frames in args.frames:
        for threshold in THRESHOLDS:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                rows.append(pool.apply(measure, (args.model, frames, threshold, args.threads)))
            print(json.dumps(rows[-1]), flush=True)
    print("\n" + table(rows))
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
