"""What each command of ``python -m train.nano`` does; only wiring, the work is in the modules named here."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from safetensors.torch import load_file

from train.loop.processes import current_group, launch
from train.nano.data.bank import Entry, build_bank, load_bank
from train.nano.data.index import Record, build_index, write_splits
from train.nano.fit import recipe
from train.nano.fit.adaptation import adapt
from train.nano.fit.average import blend
from train.nano.fit.distillation import heal
from train.nano.fit.tuning import Nano, tune
from train.nano.fit.warm_start import warm_up
from train.nano.parts.features import FeatureSet, build_features
from train.nano.parts.language_model import load_language_model
from train.nano.parts.vit import Vit
from train.nano.parts.words import Projector, word_table
from train.nano.text.human import human_questions
from train.nano.text.plain import build_general
from train.nano.text.texts import load_texts

PREVIOUS = {
    "align": "words",
    "instruct": "align",
    "mixed": "instruct",
    "polish": "adapt",
    "refine": "polish",
    "forms": "blend",
    "texts": "forms",
    "gate": "refine",
}
# stages that read pictures with the adapted encoder
ADAPTED = ("polish", "refine", "forms", "texts", "gate", "export")


def healed(runs: Path) -> Vit:
    vit = Vit(pos="rope", theta=recipe.heal_config().theta)
    vit.load_state_dict(load_file(runs / "heal/final.safetensors"))
    return vit.eval()


def encoder_of(runs: Path, stage: str) -> Vit:
    """The encoder of a stage: the healed one, from ``polish`` on the adapted one where that was made."""
    vit, adapted = healed(runs), runs / "adapt/encoder.safetensors"
    if stage in ADAPTED and adapted.exists():
        vit.load_state_dict(load_file(adapted))
    return vit


def features(runs: Path, bank: dict[str, Entry], name: str, vit: Vit) -> FeatureSet:
    split, count = {
        "train": ("train", recipe.TRAIN_VIEWS),
        "train_clean": ("train", None),
        "dev": ("dev", None),
        "test": ("test", None),
    }[name]
    return build_features(bank, vit, runs / f"features/{name}.safetensors", split, count)


def build_nano(args: argparse.Namespace, bank: dict[str, Entry], records: list[Record]) -> Nano:
    language_model, tokenizer = load_language_model(args.language_model)
    general = build_general(language_model, tokenizer, args.runs / "general.json")
    human = human_questions(args.data, rad_labels(records))
    vit = encoder_of(args.runs, args.stage)
    cached = None if args.stage in ADAPTED else features(args.runs, bank, "train", vit)
    return Nano(
        bank, vit, Projector(), language_model, tokenizer, cached, human, general, texts=load_texts(args.data)
    )


def rad_labels(records: list[Record]) -> dict[str, dict[str, str]]:
    return {r.id: r.labels for r in records if r.source == "vqa_rad"}


def run(args: argparse.Namespace) -> None:
    if args.stage in (*PREVIOUS, "eval") and args.processes > 1 and "RANK" not in os.environ:
        raise SystemExit(launch(args.processes))
    records = build_index(args.data, args.runs)
    if args.stage == "decode":
        build_bank(args.data, records, args.runs / "bank")
        write_splits(records, Path(__file__).parent / "splits")
        return
    bank = load_bank(args.runs / "bank", records)
    if args.stage == "heal":
        heal(bank, args.encoder_onnx, args.runs / "heal", recipe.heal_config(args.seconds))
    elif args.stage == "cache":
        for name in ("train", "dev", "test"):
            features(args.runs, bank, name, healed(args.runs))
    elif args.stage == "words":
        model, tokenizer = load_language_model(args.language_model)
        table = word_table(tokenizer, model.get_input_embeddings().weight)
        train, dev = (features(args.runs, bank, name, healed(args.runs)) for name in ("train", "dev"))
        warm_up(train, dev, table, args.runs / "words", recipe.warm_config())
    elif args.stage == "general":
        model, tokenizer = load_language_model(args.language_model)
        build_general(model, tokenizer, args.runs / "general.json")
    elif args.stage == "adapt":
        model, tokenizer = load_language_model(args.language_model)
        table = word_table(tokenizer, model.get_input_embeddings().weight)
        start = load_file(args.runs / "mixed/final.safetensors")
        adapt(bank, healed(args.runs), start, table, args.runs / "adapt", recipe.adapt_config())
    elif args.stage in PREVIOUS:
        group = current_group()
        nano = build_nano(args, bank, records)
        start = nano.state() | load_file(args.runs / PREVIOUS[args.stage] / "final.safetensors")
        if args.stage == "gate":
            config = recipe.gate_config(args.runs / "report/scores.json", args.seconds)
        else:
            config = getattr(recipe, f"{args.stage}_config")(args.seconds)
        tune(nano, args.runs / args.stage, config, start, group)
    elif args.stage == "eval":
        from omnivmed.inference import load_model
        from omnivmed.registry import resolve
        from train.nano.measure.door import Door
        from train.nano.measure.evaluation import Exam, evaluate

        before = args.runs / "report/scores.json"
        silent = json.loads(before.read_text())["silent"] if args.gated else {}
        assistant, rad = load_model(args.model, offline=True), rad_labels(records)
        with Door(args.data, args.runs, assistant.batch()) as door:
            human, texts = human_questions(args.data, rad), load_texts(args.data)
            model = resolve(args.model).folder
            exam = Exam(bank, human, texts, door, model, args.language_model, args.runs)
            evaluate(exam, args.out, silent, args.per_source, current_group())
    elif args.stage == "blend":
        legs = [args.runs / leg / "final.safetensors" for leg in ("polish", "refine")]
        blend(legs[0], legs[1], args.runs / "blend")
    elif args.stage == "settle":
        legs = [args.runs / leg / "final.safetensors" for leg in ("blend", "texts")]
        blend(legs[0], legs[1], args.runs / "settle", recipe.SETTLE_SHARE)
    elif args.stage == "beyond":
        from train.nano.measure.probes import beyond

        vit = healed(args.runs)
        parts = {name: features(args.runs, bank, name, vit) for name in ("train", "train_clean", "test")}
        parts["clean"] = parts.pop("train_clean")
        beyond(bank, args.data, vit, parts, args.out or args.runs / "beyond")
    elif args.stage == "ceiling":
        from train.nano.measure.ceiling import ceiling
        from train.nano.parts.teacher import build_teacher

        teacher = build_teacher(args.encoder_onnx)
        ceiling(bank, teacher, healed(args.runs), args.out or args.runs / "ceiling")
    elif args.stage == "export":
        from train.nano.export import export

        export(load_file(args.weights), encoder_of(args.runs, "export"), args.out, args.runs / "report")
