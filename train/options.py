"""python -m train.options phase_in | ct_windows: what an option of the recipe does, in miniature, on phantoms.

phase_in: pruning hard from the first step, or off, soft and hard in turn (`Stage.phase_in`), or never in training; all
three are asked pruned. ct_windows: a CT under its own window, or under three as red, green and blue
(`VisionBudget.ct_windows`), on phantoms whose answer lies in lung, soft tissue or bone.

The whole recipe runs: files, readers, loop, model folder, answers. It shows that an option works and which way it
points on drawings; it says nothing of patients.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from omnivmed.eval.intervals import bootstrap
from omnivmed.records import Sample
from omnivmed.window import CT_PRESETS
from train.data import phantoms
from train.data.dataset import Encoder
from train.data.samples import held_out
from train.data.sources import read_source
from train.loop import generations
from train.loop.build import load
from train.loop.run import run
from train.recipes.catalogue import tiny
from train.recipes.config import Source, Stage, TrainConfig

PRESETS = {name: (level, width) for name, level, width in CT_PRESETS}
THREE = (PRESETS["lung"], PRESETS["soft tissue"], PRESETS["bone"])
TISSUES = {"lung": -850, "soft tissue": 40, "bone": 700}
"""HU of the three bands of a phantom; its spot stands 150 HU above one of them, or is not there."""
SPOT_HU, NOISE_HU, SIDE, SLICES, AIR = 150, 10, 56, 3, 3


@dataclass(frozen=True)
class Arm:
    """stage: trained under; asked: under which the held-out questions are put, as the folder would be used."""

    stage: Stage
    asked: Stage


def phase_in(steps: int) -> tuple[TrainConfig, dict[str, Arm], Callable[[Path, int, int], None]]:
    """(recipe, arms by name, writer of the data for a seed)."""
    config = tiny()
    mixed = replace(config.stage("mixed"), steps=steps, sources=config.stage("mixed").sources[1:])
    arms = {
        "hard from the first step": Arm(mixed, mixed),
        "off, soft, hard": Arm(replace(mixed, phase_in=(0.2, 0.6)), mixed),
        "never in training": Arm(replace(mixed, threshold=None), mixed),
    }
    return (
        config,
        arms,
        lambda folder, seed, size: phantoms.write(folder / "phantoms", seed, 2, size // 2, size // 2),
    )


def ct_windows(steps: int) -> tuple[TrainConfig, dict[str, Arm], Callable[[Path, int, int], None]]:
    """(recipe, arms by name, writer of the data for a seed)."""
    config = tiny()
    one = replace(
        config.stage("instruct"),
        steps=steps,
        sources=(Source("conversations", "phantoms/ct.jsonl"),),
        global_batch=16,
    )
    three = replace(one, vision=replace(one.vision, ct_windows=THREE))
    arms = {"its own window": Arm(one, one), "three windows": Arm(three, three)}
    return config, arms, write_ct


OPTIONS = {"phase_in": phase_in, "ct_windows": ct_windows}


def write_ct(folder: Path, seed: int, count: int = 240) -> None:
    """`phantoms/ct.jsonl` and NIfTI volumes in HU: three bands, a bright spot in one of them or in none."""
    import nibabel as nib

    rng = np.random.default_rng(seed)
    root = folder / "phantoms"
    root.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(count):
        values = np.empty((SLICES, SIDE, SIDE), dtype=np.float32)
        bands = np.array_split(np.arange(SIDE), len(TISSUES))
        for rows_of_band, hu in zip(bands, TISSUES.values(), strict=True):
            values[:, rows_of_band] = hu
        values += rng.normal(0, NOISE_HU, values.shape)
        where = int(rng.integers(len(TISSUES) + 1))
        if where < len(TISSUES):
            middle, column = int(bands[where].mean()), int(rng.integers(10, SIDE - 10))
            values[:, middle - 6 : middle + 6, column - 6 : column + 6] += SPOT_HU
        values[:, :, :AIR] = values[:, :, -AIR:] = -1000  # what tells a reader that a NIfTI's numbers are HU
        name = f"ct/{number:04d}.nii.gz"
        (root / "ct").mkdir(exist_ok=True)
        affine = np.diag([-3.0, -3.0, 5.0, 1.0])
        nib.save(nib.Nifti1Image(np.round(values.transpose(2, 1, 0)).astype(np.int16), affine), root / name)
        answer = f"In the {list(TISSUES)[where]}." if where < len(TISSUES) else "Nowhere."
        talk = [{"from": "human", "value": "Where is the spot?"}, {"from": "gpt", "value": answer}]
        rows.append(json.dumps({"volume": name, "modality": "ct", "conversations": talk}) + "\n")
    (root / "ct.jsonl").write_text("".join(rows), encoding="utf-8")


def measure(
    option: str, out: Path, seeds: int, steps: int, size: int = 240, say: Callable[[str], None] = print
) -> str:
    """Train and ask every arm for every seed, on `size` drawings of which a fifth is held out.

    Writes `out/<option>.md` and `.json`, returns the markdown. A finished run is not done again.
    """
    config, arms, write = OPTIONS[option](steps)
    hits: dict[str, list[tuple[str, float]]] = {name: [] for name in arms}
    known: list[tuple[str, float]] = []
    for seed in range(seeds):
        data = out / option / f"data-{seed}"
        if not data.exists():
            write(data, seed, size)
        for name, arm in arms.items():
            of_arm = replace(config, stages=(arm.stage,), seed=seed, validate=0.2, save_every=steps)
            where = out / option / f"{name.replace(' ', '-').replace(',', '')}-{seed}"
            model = run(of_arm, data, where, say=lambda line: None)
            answers = ask(of_arm, arm, data, model)
            say(f"{option}, seed {seed}, {name}: {np.mean([r for _, r in answers.values()]):.2f} right")
            hits[name] += [(f"{seed}/{key}", right) for key, (_, right) in answers.items()]
        truths = Counter(true for true, _ in answers.values())
        known += [
            (f"{seed}/{key}", float(true == truths.most_common(1)[0][0]))
            for key, (true, _) in answers.items()
        ]
    text = _table(option, {**hits, "commonest answer": known}, seeds, steps)
    (out / f"{option}.md").write_text(text, encoding="utf-8")
    (out / f"{option}.json").write_text(json.dumps(hits, indent=1) + "\n", encoding="utf-8")
    return text


def ask(config: TrainConfig, arm: Arm, data: Path, model: Path) -> dict[str, tuple[str, float]]:
    """Held-out sample id -> (reference, 1.0 when the answer is right word for word)."""
    built = load(model, torch.float32)
    encoder = Encoder(built.tokenizer, built.placeholders, built.pad_id, arm.asked)
    out = {}
    for source in arm.stage.sources:
        for sample in read_source(source, data, config.seed).samples:
            if held_out(sample.id, config.validate):
                out[sample.id] = (sample.turns[0][1], _right(built, encoder, sample))
    return out


def _right(built: object, encoder: Encoder, sample: Sample) -> float:
    said = generations.answer(built, encoder, sample)  # type: ignore[arg-type]
    return float(said.strip() == sample.turns[0][1].strip())


def _table(option: str, hits: Mapping[str, list[tuple[str, float]]], seeds: int, steps: int) -> str:
    lines = [f"### {option}", "", "| arm | right, % [95 %] | by seed |", "|---|---|---|"]
    for name, rows in hits.items():
        values = [right for _, right in rows]
        low, high = bootstrap(values, None)
        by_seed = [np.mean([r for key, r in rows if key.startswith(f"{s}/")]) for s in range(seeds)]
        shown = ", ".join(f"{100 * v:.0f}" for v in by_seed)
        lines.append(
            f"| {name} | {100 * np.mean(values):.1f} [{100 * low:.1f}, {100 * high:.1f}] | {shown} |"
        )
    lines += [
        "",
        f"Phantoms, the tiny recipe's model, {steps} steps from random weights, {seeds} seeds, held-out questions word"
        " for word; the interval is over questions, seeds beside it. Not for clinical use.",
    ]
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> int:
    """0 when done."""
    parser = argparse.ArgumentParser(prog="python -m train.options", description=__doc__)
    parser.add_argument("option", choices=sorted(OPTIONS))
    parser.add_argument("--out", type=Path, help="run folder; default: a temporary one")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=120)
    args = parser.parse_args(argv)
    out = args.out or Path(tempfile.mkdtemp(prefix="omnivmed-options-"))
    print(measure(args.option, out, args.seeds, args.steps))
    return 0


if __name__ == "__main__":
    sys.exit(main())
