"""python -m benchmarks.long_clip: what a long clip costs, until its frames are ready and until the first token.

The clip is drawn and encoded by this command (H.264, 25 frames a second, three B-frames in a row, a moving scene with
the frame's number in it), unless `--clip` names one. Each round opens it anew in a process of its own and tells:

* `open`: the container listed and judged, in seconds of processor time of the decoder;
* `frames`: those of the model sampled, decoded, made smaller, cut into patches: processor time of the decoder (which
  leaves with its process and is read from there), of this process, and what lies between the frames;
* `first`: with `--model`, wall seconds from the question to the first token, the file opened before.

`--root` runs the same measurement on another checkout of this project, round by round in turn, and prints the ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

RATE = 25
NAMES = ("open_decoder_s", "frames_decoder_s", "frames_here_s", "first_token_s")


def write_clip(path: Path, minutes: float, gop: int, size: tuple[int, int]) -> None:
    """An H.264 clip whose frames hold noise that moves, a bar code of their number, and a drifting square."""
    import av

    width, height = size
    frames = int(minutes * 60 * RATE)
    rng = np.random.default_rng(0)
    scene = rng.integers(60, 180, (height + 256, width + 256), dtype=np.uint8)
    scene = scene.reshape(scene.shape[0] // 4, 4, scene.shape[1] // 4, 4).mean((1, 3), keepdims=True)
    scene = np.broadcast_to(scene, (scene.shape[0], 4, scene.shape[2], 4)).astype(np.uint8)
    scene = scene.reshape(height + 256, width + 256)
    with av.open(str(path), "w") as out:
        options = {"preset": "veryfast", "crf": "23", "g": str(gop), "bf": "3", "sc_threshold": "0"}
        stream = out.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        plane = np.full((height * 3 // 2, width), 128, np.uint8)
        for k in range(frames):
            x, y = (k // 2) % 256, (k // 3) % 256
            plane[:height] = scene[y : y + height, x : x + width]
            at = 40 + k * 3 % (width - 200)
            plane[height // 2 : height // 2 + 96, at : at + 96] = 230
            for bit in range(16):
                plane[8:40, 8 + 40 * bit : 40 + 40 * bit] = 235 if k >> bit & 1 else 16
            frame = av.VideoFrame.from_ndarray(plane, format="yuv420p")
            frame.pts = k
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def one_round(clip: str, model: str | None) -> dict[str, Any]:
    """Figures of one round; runs in a fresh process, so that nothing is cached. psutil reads the decoder's time."""
    import time

    import psutil

    from omnivmed.io import open_study, warm_up
    from omnivmed.vision import NANO_BUDGET, prepare

    assistant: Any = None
    if model:
        from omnivmed.inference import load_model

        assistant = load_model(model)
    warm_up()
    me = psutil.Process()

    def decoder_s() -> float:
        return sum(sum(p.cpu_times()[:2]) for p in me.children(recursive=True))

    row: dict[str, Any] = {}
    before = decoder_s()
    study = open_study(clip)
    row["open_decoder_s"] = decoder_s() - before
    if assistant is not None:
        from omnivmed.inference import AskOptions

        began = time.perf_counter()
        options = AskOptions(alone=True, max_new_tokens=2)
        row["first_token_s"] = assistant.answer(
            study, "Which organ is shown?", options=options
        ).timings_s.first_token
        row["answer_s"] = time.perf_counter() - began
        study.close()
        return row
    before, mine = decoder_s(), time.process_time()
    patches = prepare(study, NANO_BUDGET)
    row["frames_here_s"] = time.process_time() - mine
    row["frames_decoder_s"] = decoder_s() - before
    times = np.asarray(patches.times_s)
    even = np.linspace(0, float(study.times_s[-1]), len(times))  # type: ignore[index]
    row |= {"frames": len(times), "of": study.shape[0]}
    row["most_off_s"] = round(float(np.abs(times - even).max()), 3)
    row["between_s"] = round(float(even[1] - even[0]), 2)
    study.close()
    return row


def run(root: str, clip: str, model: str | None) -> dict[str, Any]:
    """One round on the checkout at `root`."""
    code = Path(__file__).read_text(encoding="utf-8")
    env = os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    command = [sys.executable, "-c", code, "--round", clip, *(["--model", model] if model else [])]
    out = subprocess.run(command, cwd=root, env=env, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(out.stdout.splitlines()[-1])
    return found


def main(argv: list[str] | None = None) -> int:
    """0 when done."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.long_clip", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--gop", type=int, default=250, help="frames from key frame to key frame")
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--clip", help="measure on this file instead")
    parser.add_argument("--model", help="also ask this model, in rounds of its own")
    parser.add_argument("--root", help="another checkout, measured in turn with this one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="write the clip there and leave it")
    parser.add_argument("--round", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.round:
        print(json.dumps(one_round(args.round, args.model)))
        return 0
    here = str(Path(__file__).resolve().parents[1])
    roots = [here, *([str(Path(args.root).resolve())] if args.root else [])]
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(args.clip).resolve() if args.clip else args.keep or Path(folder) / "long.mp4"
        if not clip.exists():
            width, height = (int(n) for n in args.size.split("x"))
            write_clip(clip, args.minutes, args.gop, (width, height))
        rows: dict[str, list[dict[str, Any]]] = {root: [] for root in roots}
        for _ in range(args.rounds):
            for root in roots:
                row = run(root, str(clip), None)
                if args.model:
                    row |= {k: v for k, v in run(root, str(clip), args.model).items() if k == "first_token_s"}
                rows[root].append(row)
                print("this" if root == here else "other", json.dumps(row), flush=True)
    for name in NAMES:
        values = [median(row[name] for row in rows[root]) for root in roots if name in rows[root][0]]
        if values:
            ratio = f", other / this {values[1] / max(values[0], 1e-3):.1f}" if len(values) > 1 else ""
            print(f"{name}: {values[0]:.2f}{ratio}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
