"""``python -m train.draw STAGE``, or ``all``: see train/draw/README.md for the order, the hours and the memory."""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def main() -> None:
    """Read the command line, run a stage."""
    import torch

    from train.draw import stages

    parser = argparse.ArgumentParser(prog="python -m train.draw", description=__doc__)
    parser.add_argument(
        "stage", choices=("all", *stages.STAGES), help="each stage resumes where it was stopped"
    )
    shared = Path(os.environ.get("OMNIVMED_SHARED", "../shared"))
    parser.add_argument("--data", type=Path, default=shared / "data", help="the data folder (docs/nano.md)")
    parser.add_argument("--runs", type=Path, default=Path("runs/draw"), help="checkpoints, caches, logs")
    parser.add_argument(
        "--nano", type=Path, default=Path("runs/nano"), help="runs of train.nano, for its bank"
    )
    parser.add_argument("--seconds", type=float, help="wall time of the leg instead of the recipe's")
    parser.add_argument(
        "--leg",
        type=int,
        default=1,
        help="decoder, expert, editor: number of the leg; begins with the one before",
    )
    parser.add_argument("--out", type=Path, help="report or model folder instead of RUNS/report, RUNS/export")
    parser.add_argument(
        "--parts", nargs="*", help="measure: only these of reconstruction, edits, drawn, speed"
    )
    parser.add_argument("--tasks", nargs="*", help="editor: only these tasks")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    stages.run(args)


if __name__ == "__main__":
    main()
