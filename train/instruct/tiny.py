"""python -m train.instruct.tiny: the whole builder in miniature, from phantoms to a trained tiny model.

Phantoms drawn by code → records → what is there twice → candidates and two judges of stub services → selection →
every output → the chosen captions train a random model of 0.2 million parameters → an answer. It shows that every
joint holds, and nothing about medicine.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from omnivmed.records import Item
from train.data import conversations as questions
from train.data import phantoms
from train.instruct.graph import steps
from train.instruct.rows import shards
from train.instruct.select.repeats import Leakage, known_from, unique
from train.instruct.services.stub import WordOverlap, Writer
from train.instruct.sources import gather
from train.recipes import recipe
from train.recipes.config import Source, TrainConfig

SOURCES = tuple(Source("conversations", f"phantoms/{n}.jsonl") for n in ("questions", "volumes", "clips"))
STEPS = 40
HELD = 12


def build(data: Path, out: Path, say: Callable[[str], None] = print) -> dict[str, int]:
    """Everything but training; returns rows by stage, in their order."""
    if not (data / "phantoms").is_dir():
        phantoms.write(data / "phantoms", stills=120, volumes=40, clips=40)
    folder = out / "captions"
    parts: list[gather.Part] = []
    shards.write_shards(gather.gather(SOURCES, data, 0, parts, incomplete=True), folder / "records", 50)
    gather.write_account(parts, folder / "sources.json")
    counts = {"records": sum(part.made for part in parts)}
    # What the last tenth of the stills shows is taken for a test set, so that the check has something to find.
    held = questions.read(data / "phantoms" / "captions.jsonl", "held").samples[-HELD:]
    pictures, texts, _ = known_from(Item(s.id, s.media, *s.turns[0], False) for s in held)
    leakage = Leakage(data, pictures, texts)
    counts["unleaked"] = shards.run(leakage, folder / "records", folder / "unleaked").kept
    counts["checked"] = unique(folder / "unleaked", folder / "checked").kept
    judges = [WordOverlap("stub-word-overlap-1"), WordOverlap("stub-word-overlap-2")]
    for name, count in steps.run(steps.caption_steps(data, Writer(), judges, 3), folder, say).items():
        counts[name] = count.kept
    counts["selected"] = steps.select_captions(folder)["kept"]
    (folder / "stages.json").write_text(json.dumps(counts, indent=1) + "\n", encoding="utf-8")
    return counts


def config() -> TrainConfig:
    """The tiny recipe's mixed stage alone, on the chosen captions."""
    tiny = recipe("tiny")
    stage = replace(
        tiny.stage("mixed"), sources=(Source("conversations", "instruct-captions.jsonl"),), steps=STEPS
    )
    return replace(tiny, name="tiny", stages=(stage,), save_every=STEPS, validate_every=STEPS)


def whole(data: Path, out: Path, say: Callable[[str], None] = print) -> tuple[dict[str, int], Path, str]:
    """(rows by stage, model folder, what the model answers to a picture)."""
    from omnivmed.eval.media import open_media
    from omnivmed.inference import load_model
    from train.loop.run import read_data, run

    counts = build(data, out, say)
    shutil.copyfile(out / "captions" / "captions.jsonl", data / "instruct-captions.jsonl")
    model = run(config(), data, out / "run", say=say)
    sample = next(
        s for s in read_data(config(), config().stages[-1], data).training if s.media.kind == "image"
    )
    with open_media(sample.media)[0] as study:
        answer = load_model(str(model), offline=True).answer(
            study, sample.turns[0][0], max_new_tokens=12, alone=True
        )
    return counts, model, answer.text


def main(argv: list[str] | None = None) -> int:
    """0 when done."""
    parser = argparse.ArgumentParser(prog="python -m train.instruct.tiny", description=__doc__)
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for data, answers, selection and model"
    )
    args = parser.parse_args(argv)
    counts, model, answer = whole(args.out / "data", args.out)
    print("\n".join(f"{name}: {number}" for name, number in counts.items()))
    print(f"model in {model}; it says: {answer}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
