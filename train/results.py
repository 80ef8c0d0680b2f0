"""python -m train.results --data DIR --out DIR: every table of docs/results.md, from a nano folder, in one go.

Runs what needs no training (VQA-RAD with the model as it is, thresholds), takes up the tables of claims that were run
with the same --out before, and says of the others that they have not been run. About ten minutes on two quiet cores;
answers that are on disk are not asked again, so after a change of the model take a new --out.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from train.claims import thresholds, vqa_rad
from train.claims.setting import Setting, add_arguments, setting_of

TRAINED = ("positions", "progressive", "scaling", "transfer", "pruning_stage")
INTRO = """# Results

Made by `python -m train.results`; nothing here is typed in. Answers were written to disk before they were scored.
Every cell names its protocol ([evaluation.md](evaluation.md)); intervals are 95 %. Model: {model}, encoder and
projector sha256 {digest}. Scores of nano on its own validation splits, per source, with blank, shuffled, majority and
probe beside them: [its model card](../assets/nano/README.md). Not for clinical use.

"""
VQA_RAD_NOTES = """
How to read this:

- Only questions whose picture is at hand are asked: {official} of the official test part, {by_image} about pictures
  that nano has never seen (split by image). The official test part shares its pictures with training.
- Nano is trained to decline what it was not shown to know, and says so to most of these questions. A refusal ("I
  cannot tell") holds the letters of "no" and scores for it by the published closed rule; "whole words" does not count
  it. Read "closed accuracy" of a model that declines with that in mind.
- `grey picture`: the same model, nothing to see. `words alone`: the same size and the same further training, never
  shown a picture. `question-only`: the answers of the most similar training questions. `majority`: the commonest
  answer of the question's type.
"""


def digest_of(model: str) -> str:
    """First 16 hex digits of the encoder file's sha256: which weights these numbers are of."""
    from omnivmed.weights.names import resolve

    file = resolve(model).folder / "encoder_projector.safetensors"
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file.is_file() else "unknown"


def weights_of(folder: Path, model: str) -> str:
    """A line naming the weights whose answers ``folder`` holds: those of now, unless answers were there before."""
    mark, now = folder / "weights.sha256", digest_of(model)
    if not mark.exists():
        folder.mkdir(parents=True, exist_ok=True)
        mark.write_text(now + "\n", encoding="utf-8")
    then = mark.read_text(encoding="utf-8").strip()
    earlier = "" if then == now else ", an earlier version of nano; not asked again since"
    return f"\nWeights asked here: sha256 {then}{earlier}.\n"


def claim(name: str, setting: Setting, figures: Path) -> str:
    """Table and figure of a claim that was run, or how to run it."""
    folder = setting.out / name
    if not (folder / "table.md").exists():
        return f"### {name}\n\nNot yet run: `python -m train.claims {name} --data DIR --out DIR`.\n"
    figures.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(folder / "figure.png", figures / f"{name}.png")
    text = (folder / "table.md").read_text(encoding="utf-8").rstrip()
    command = f"Command: `python -m train.claims {name} --data DIR --out DIR`."
    return f"{text}\n\n{command}\n\n![{name}](figures/{name}.png)\n"


def write(setting: Setting, target: Path, rad: str, counts: tuple[int, int]) -> None:
    """docs/results.md from what is in ``OUT``."""
    rad += weights_of(setting.out / "vqa_rad", setting.model)
    figures = target.parent / "figures"
    parts = [
        INTRO.format(model=setting.model, digest=digest_of(setting.model)),
        rad,
        VQA_RAD_NOTES.format(official=counts[0], by_image=counts[1]),
        "\n## What the paper claims, in miniature\n\n",
        "\n".join(claim(name, setting, figures) for name in ("thresholds", *TRAINED)),
    ]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("".join(parts), encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    """0 when written, 2 for a mistake in the call."""
    parser = argparse.ArgumentParser(prog="python -m train.results", description=__doc__)
    add_arguments(parser, 0.0, "fine-tuning on VQA-RAD per arm; 0: as it is, no training")
    parser.add_argument("--write", type=Path, default=Path("docs/results.md"))
    args = parser.parse_args(argv)

    import torch

    torch.set_num_threads(args.threads)
    setting = setting_of(args)
    try:
        weights_of(setting.out / "vqa_rad", setting.model)  # marked before the first answer
        rad, counts = vqa_rad.run(setting), vqa_rad.counts(setting)
        write(setting, args.write, rad, counts)  # an interruption later on costs only what follows
        thresholds.run(replace(setting, minutes=0.0))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    write(setting, args.write, rad, counts)
    print(args.write)
    return 0


if __name__ == "__main__":
    sys.exit(main())
