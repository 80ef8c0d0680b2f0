"""`python -m benchmarks.run`: measure everything side by side and write `benchmarks/results/speed.{md,json}`.

    python -m benchmarks.run                      all groups, float32 and bfloat16, 5 rounds
    python -m benchmarks.run --group decoding --rounds 15

Studies are the samples in `assets/samples`. Weights are nano's where they are trained and cached; random ones of
the same size otherwise, which is as fast.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = (("chest_xray.dcm", "X-ray"), ("ct_abdomen.nii.gz", "CT volume"), ("mr_head.nii.gz", "MR volume"))
GROUPS = ("pruning", "encoding", "prefill", "decoding", "answering")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds per case (default 5)")
    parser.add_argument("--group", action="append", choices=GROUPS, help="only these groups")
    parser.add_argument("--dtype", action="append", choices=("float32", "bfloat16"), help="only these types")
    parser.add_argument("--tokens", type=int, default=24, help="length of an answer (default 24)")
    parser.add_argument("--threads", type=int, help="threads of torch (default: one per physical core)")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "benchmarks" / "results", help="folder to write to"
    )
    args = parser.parse_args(argv)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the app does; before torch is imported

    import torch

    from benchmarks import report
    from benchmarks.timing import interleave
    from omnivmed.model.hardware import use_physical_cores

    if args.threads:
        torch.set_num_threads(args.threads)
    else:
        use_physical_cores()
    before = report.load_average()
    rows: list[dict[str, Any]] = []
    described = ""
    with torch.inference_mode():
        types = args.dtype or ("float32", "bfloat16")
        for dtype in types:
            for case, phrase in cases(args.group or GROUPS, dtype, args.tokens, dtype == types[0]):
                samples = interleave({"baseline": case.run_baseline, "ours": case.run_ours}, args.rounds)
                rows.append(report.row(case, "pixels" if case.group == "pruning" else dtype, samples))
                described = phrase
                shown = rows[-1]["ratio"]
                print(
                    f"{case.group}: {case.name}, {dtype}: x {shown['median']:.2f}  {case.check}",
                    file=sys.stderr,
                )
    result = {
        "command": _command(args),
        "weights": described,
        "machine": report.machine(),
        "load_average": {"before": before, "after": report.load_average()},
        "rows": rows,
    }
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "speed.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    table = report.markdown(result)
    (args.out / "speed.md").write_text(table, encoding="utf-8")
    print(table)
    return 0


def _command(args: argparse.Namespace) -> str:
    """The command that repeats this run; where it wrote to is nobody's business."""
    words = ["python", "-m", "benchmarks.run", "--rounds", str(args.rounds), "--tokens", str(args.tokens)]
    words += ["--threads", str(args.threads)] if args.threads else []
    for name in ("group", "dtype"):
        words += [word for value in getattr(args, name) or [] for word in (f"--{name}", value)]
    return " ".join(words)


def cases(
    groups: tuple[str, ...] | list[str], dtype_name: str, tokens: int, with_mask: bool
) -> Iterator[tuple[Any, str]]:
    """The cases of these groups with one number type, and a phrase about the weights."""
    import torch

    import omnivmed as ov
    from benchmarks import cases as make
    from benchmarks.weights import nano_model, stock_twin
    from omnivmed.vision import DEFAULT_BUDGET, NANO_BUDGET, prepare

    samples = ROOT / "assets" / "samples"
    dtype = getattr(torch, dtype_name)
    model, described = nano_model(dtype)
    model.requires_grad_(False)
    stock = stock_twin(model)
    if "pruning" in groups and with_mask:  # the mask has no number type of its own
        with ov.open_study(samples / "mr_head.nii.gz") as study:
            yield make.pruning_case(prepare(study, DEFAULT_BUDGET, max_frames=64)), described
    if "encoding" in groups:
        for case in make.encoder_cases(model, stock, [(1, 12, 12), (32, 8, 8), (16, 18, 18)]):
            yield case, described
    if "prefill" in groups:
        for case in make.prefill_cases(model, stock, [128, 1024]):
            yield case, described
        yield make.pruned_prefill_case(model, 1024, 0.4), described
    if "decoding" in groups:
        yield make.decode_case(model, stock, 64, 2 * tokens), described
    if "answering" in groups:
        for name, what in SAMPLES:
            with ov.open_study(samples / name) as study:
                patches = prepare(study, NANO_BUDGET)
            for case in make.answer_cases(model, stock, patches, what, tokens):
                yield case, described


if __name__ == "__main__":
    raise SystemExit(main())
