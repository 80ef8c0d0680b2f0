"""python -m train.own ROWS.jsonl --out RUN: fine-tune on your own studies, on a laptop, in minutes (docs/own_data.md).

Starts from nano, from random weights, or from any folder of this program's format, with adapters (LoRA) on the
language model and token pruning on, through the same loop as every recipe. Then asks the trained folder what each row
asked, through the engine that the page uses. An interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from omnivmed.defaults import DEFAULT_THRESHOLD
from omnivmed.errors import OmniVMedError
from omnivmed.eval.files import LayoutError
from omnivmed.vision import VisionBudget
from omnivmed.weights.names import Source as Weights
from omnivmed.weights.names import read_config, resolve
from train.data.conversations import read
from train.recipes.catalogue import tiny
from train.recipes.config import LoRA, ModelSpec, Rates, Source, Stage, TrainConfig

STAGE = "own"
EPOCHS, LEAST_STEPS, MOST_STEPS = 3, 12, 2_000
BATCH = 8
HELD_OUT_FROM = 50  # rows; of fewer none is put aside
ASKED = 8  # rows that are asked again at the end


@dataclass(frozen=True)
class Told:
    """One row asked before and after. wanted: the row's own answer."""

    id: str
    question: str
    wanted: str
    before: str
    after: str


def main(argv: Sequence[str] | None = None) -> int:
    """0 when trained, 2 for a mistake in the call or in the rows."""
    parser = argparse.ArgumentParser(prog="python -m train.own", description=__doc__)
    parser.add_argument(
        "rows", type=Path, help="JSONL or JSON of conversations; paths in it are below its folder"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="run folder; an interrupted run in it goes on"
    )
    parser.add_argument(
        "--start", default="nano", help="nano, random, or a folder of this program's format (nano)"
    )
    parser.add_argument("--steps", type=int, metavar="N", help="optimizer steps (three passes, at least 12)")
    parser.add_argument(
        "--threshold", type=float, default=DEFAULT_THRESHOLD, metavar="X", help="of pruning (0.1); 0 is off"
    )
    parser.add_argument("--rank", type=int, default=16, metavar="R", help="of the adapters (16)")
    args = parser.parse_args(argv)
    try:
        told, model = fine_tune(args.rows, args.out, args.start, args.steps, args.threshold, args.rank)
    except (ValueError, LayoutError, OmniVMedError) as error:
        print(error.message if isinstance(error, OmniVMedError) else error, file=sys.stderr)
        return 2
    for one in told:
        print(
            f"\n{one.question}\n  your row  {one.wanted}\n  before    {one.before}\n  after     {one.after}"
        )
    right = sum(one.after == one.wanted for one in told)
    print(
        f"\n{right} of {len(told)} rows it was trained on are answered word for word. Not for clinical use."
    )
    print(f"The model is in {model}. Open it: python -m omnivmed serve --model {model}")
    return 0


def fine_tune(
    rows: Path,
    out: Path,
    start: str = "nano",
    steps: int | None = None,
    threshold: float = DEFAULT_THRESHOLD,
    rank: int = 16,
    say: Callable[[str], None] = print,
) -> tuple[list[Told], Path]:
    """Train, then ask again; (rows asked, model folder of format omnivmed/1).

    Raises ValueError when the file is not there or one of its rows cannot be used (by place and reason), LayoutError
    when it is no JSON, ModelError when the start cannot be loaded.
    """
    if not 0 <= threshold <= 2:
        raise ValueError(f"--threshold lies between 0 and 2 (pixels in [-1, 1]), got {threshold:g}")
    if rank < 1 or (steps is not None and steps < 1):
        raise ValueError("--rank and --steps are at least 1")
    if not rows.is_file():
        raise ValueError(f"there is no file {rows.name} to read rows from")
    found = read(rows, rows.stem)
    if found.skipped:
        told = "; ".join(f"{one.name}: {one.reason}" for one in found.skipped[:5])
        raise ValueError(f"{len(found.skipped)} rows of {rows.name} cannot be used. {told}")
    if not found.samples:
        raise ValueError(f"{rows.name} holds no rows")
    pruned = sum(s.media.kind in ("volume", "video") for s in found.samples)
    say(f"{len(found.samples)} rows, {pruned} of volumes and clips, pruned at {threshold:g}")
    config = own_recipe(rows, len(found.samples), start_folder(start, out, say), steps, threshold, rank)
    from train.loop.run import run

    model = run(config, rows.parent, out, say=say)
    return ask_again(config, rows, model, threshold), model


def own_recipe(
    rows: Path, count: int, start: Path | None, steps: int | None, threshold: float, rank: int
) -> TrainConfig:
    """The recipe for so many rows. start: a model folder, None for random weights of the tiny recipe's shape.

    Rates: adapters take ten times those of whole weights; random weights learn whole, adapters beside them would
    adapt nothing. All ours.
    """
    batch = min(count, BATCH)
    planned = max(LEAST_STEPS, min(MOST_STEPS, EPOCHS * -(-count // batch)))
    common = tiny()
    stage = Stage(
        name=STAGE,
        sources=(Source("conversations", rows.name),),
        samples=count,
        rates=Rates(llm=2e-3, projector=2e-4, encoder=None) if start else common.stages[-1].rates,
        threshold=threshold or None,
        global_batch=batch,
        warmup_ratio=0.0,  # so few steps have none to give away
        max_length=2_048,
        vision=budget_of(start) if start else common.stages[-1].vision,
        steps=steps or planned,
        mean_tokens=300,
    )
    return replace(
        common,
        name="own",
        model=ModelSpec("any", "checkpoint", checkpoint=str(start)) if start else ModelSpec("tiny", "random"),
        stages=(stage,),
        lora=LoRA(r=rank, alpha=2 * rank, dropout=0.0) if start else None,
        micro_batch=1,
        token_budget=8_192,
        patch_budget=65_536,
        max_skip_rate=0.0,
        validate=0.1 if count >= HELD_OUT_FROM else 0.0,
        validate_every=stage.planned_steps(),
        save_every=max(20, stage.planned_steps() // 4),
        keep_checkpoints=1,
    )


def budget_of(folder: Path) -> VisionBudget:
    """Under which the folder answers. Raises ModelError."""
    from omnivmed.model.schema import vision_budget

    values = read_config(folder)
    return vision_budget(values) or VisionBudget(
        image_merge_size=int(values.get("image_merge_size", 1)),
        video_merge_size=int(values.get("video_merge_size", 2)),
    )


def start_folder(start: str, out: Path, say: Callable[[str], None]) -> Path | None:
    """What training begins from; nano is first written whole, as a folder that the recipes read. Raises ModelError."""
    if start == "random":
        return None
    source = resolve(start)
    if source.kind != "nano":
        return source.folder
    folder = out / "start"
    if not (folder / "manifest.json").is_file():
        say("nano is written whole, its adapter merged, as the folder to start from")
        write_nano(source, folder)
    return folder


def write_nano(source: Weights, folder: Path) -> None:
    """nano as a folder of format omnivmed/1 in bf16 (0.3 GB). Raises ModelError."""
    import torch

    from omnivmed.inference.loading import nano_backbone, nano_model_config, nano_state, read_nano_config
    from omnivmed.inference.tokenizer import load_tokenizer
    from train.loop.build import save_state

    values = read_nano_config(source)
    backbone = nano_backbone(source, values, offline=False, progress=None)
    config = nano_model_config(values, read_config(backbone))
    state = {
        name: value.to(torch.bfloat16)
        for name, value in nano_state(source, values, backbone, torch.bfloat16).items()
    }
    if config.tie_word_embeddings:
        state.pop("lm_head.weight", None)
    told = {"name": "nano", "version": str(values.get("version", "")), "licence": "CC BY-SA 4.0"}
    tokenizer = load_tokenizer(str(backbone / "tokenizer.json"))
    save_state(config, state, tokenizer, folder, told, budget=VisionBudget(**values["budget"]))


def ask_again(config: TrainConfig, rows: Path, model: Path, threshold: float) -> list[Told]:
    """The first question of up to eight rows with one study each, to the start and to the trained model, as the page
    asks. Kept in `answers.jsonl`."""
    from omnivmed.eval.media import open_media
    from omnivmed.inference import load_model

    samples = [s for s in read(rows, rows.stem).samples if s.media.paths][:ASKED]
    said: list[list[str]] = []
    for folder in (config.model.checkpoint, str(model)):
        if folder is None:
            said.append(["(random weights say nothing)"] * len(samples))
            continue
        assistant = load_model(folder, offline=True)
        answers = []
        for sample in samples:
            (study, *_) = open_media(sample.media)
            with study:
                question = sample.turns[0][0]
                answers.append(
                    assistant.answer(study, question, threshold=threshold, max_new_tokens=64, alone=True).text
                )
        said.append(answers)
    told = [
        Told(sample.id, sample.turns[0][0], sample.turns[0][1], before, after)
        for sample, before, after in zip(samples, *said, strict=True)
    ]
    with (model.parents[1] / "answers.jsonl").open("w", encoding="utf-8") as file:
        for one in told:
            file.write(json.dumps(asdict(one), ensure_ascii=False) + "\n")
    return told


if __name__ == "__main__":
    sys.exit(main())
