"""The stages of nano in their order, each with what it begins with and its numbers; only wiring, the work is elsewhere.

`STAGES` is the one place for the order: the command line, ``all``, the start of every leg and the encoder that it reads
with follow from it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from train.loop.processes import current_group, launch
from train.nano.data.bank import Entry, build_bank, load_bank
from train.nano.data.index import Record, build_index, write_splits
from train.nano.export import export, write_card
from train.nano.fit import recipe
from train.nano.fit.adaptation import adapt
from train.nano.fit.average import blend
from train.nano.fit.distillation import heal
from train.nano.fit.tuning import Nano, TuneConfig, tune
from train.nano.fit.warm_start import warm_up
from train.nano.parts.encoder import Student, student
from train.nano.parts.features import FeatureSet, build_features
from train.nano.parts.language_model import load_language_model
from train.nano.parts.words import Projector, word_table
from train.nano.text.human import human_questions
from train.nano.text.plain import build_general
from train.nano.text.texts import load_texts


@dataclass(frozen=True)
class Stage:
    """run: does it, given the command line. after: stages it needs, first the one whose weights it begins with.

    config: numbers of a leg of training, for so many seconds. aside: not part of ``all``.
    """

    run: Callable[[Work], None]
    after: tuple[str, ...] = ()
    config: Callable[[float | None], TuneConfig] | None = None
    aside: bool = False


class Work:
    """One stage at work: the command line, and what is loaded when it is first needed."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.name, self.stage = args, str(args.stage), STAGES[args.stage]
        self.data: Path = args.data
        self.runs: Path = args.runs

    @property
    def folder(self) -> Path:
        """Where this stage works."""
        return self.runs / self.name

    @property
    def out(self) -> Path:
        """Where a report or a model goes."""
        default = {"eval": "report", "card": "export"}.get(self.name, self.name)
        return self.args.out or self.runs / default

    @cached_property
    def records(self) -> list[Record]:
        """Every record of the data folder."""
        return build_index(self.data, self.runs)

    @cached_property
    def bank(self) -> dict[str, Entry]:
        """Decoded pixels, by record."""
        return load_bank(self.runs / "bank", self.records)

    def weights(self, stage: str) -> dict[str, Tensor]:
        """What a finished stage has left."""
        return load_file(self.final(stage))

    def final(self, stage: str) -> Path:
        """Where a finished stage leaves its weights."""
        return self.runs / stage / "final.safetensors"

    @cached_property
    def healed(self) -> Student:
        """The encoder after distillation."""
        vit = student(recipe.heal_config().theta)
        vit.load_state_dict(self.weights("heal"))
        return vit

    @property
    def adapted(self) -> bool:
        """Whether this stage reads pictures with the adapted encoder: all that come after it."""
        return "adapt" in before(self.name)

    def encoder(self) -> Student:
        """The encoder this stage reads pictures with."""
        file = self.runs / "adapt/encoder.safetensors"
        if self.adapted and file.exists():
            self.healed.load_state_dict(load_file(file))
        return self.healed

    def features(self, name: str, vit: Student) -> FeatureSet:
        """Cached features of "train" (augmented views), "train_clean", "dev" or "test"."""
        count = recipe.TRAIN_VIEWS if name == "train" else None
        split = name.removesuffix("_clean")
        return build_features(self.bank, vit, self.runs / f"features/{name}.safetensors", split, count)

    def language_model(self):  # type: ignore[no-untyped-def]
        """(model, tokenizer, table of attribute words)."""
        model, tokenizer = load_language_model(self.args.language_model)
        return model, tokenizer, word_table(tokenizer, model.get_input_embeddings().weight)

    def human(self):  # type: ignore[no-untyped-def]
        """VQA-RAD's own questions by record."""
        return human_questions(self.data, {r.id: r.labels for r in self.records if r.source == "vqa_rad"})

    def nano(self) -> Nano:
        """Model, pictures and questions, put together for this stage."""
        model, tokenizer, _ = self.language_model()
        general, vit = build_general(model, tokenizer, self.runs / "general.json"), self.encoder()
        cached = None if self.adapted else self.features("train", vit)
        texts = load_texts(self.data)
        return Nano(self.bank, vit, Projector(), model, tokenizer, cached, self.human(), general, texts=texts)


def before(name: str) -> set[str]:
    """All stages that this one needs, directly or not."""
    return {found for one in STAGES[name].after for found in ({one} | before(one))}


# ------------------------------------------------------------------------------------------------ what each one does


def _decode(work: Work) -> None:
    build_bank(work.data, work.records, work.runs / "bank")
    write_splits(work.records, Path(__file__).parent / "splits")


def _heal(work: Work) -> None:
    heal(work.bank, work.args.encoder_onnx, work.folder, recipe.heal_config(work.args.seconds))


def _cache(work: Work) -> None:
    for name in ("train", "dev", "test"):
        work.features(name, work.healed)


def _words(work: Work) -> None:
    train, dev = (work.features(name, work.healed) for name in ("train", "dev"))
    warm_up(train, dev, work.language_model()[2], work.folder, recipe.warm_config())


def _general(work: Work) -> None:
    model, tokenizer, _ = work.language_model()
    build_general(model, tokenizer, work.runs / "general.json")


def _adapt(work: Work) -> None:
    table, start = work.language_model()[2], work.weights(work.stage.after[0])
    adapt(work.bank, work.healed, start, table, work.folder, recipe.adapt_config())


def _leg(work: Work) -> None:
    assert work.stage.config is not None
    group, nano = current_group(), work.nano()
    start = nano.state() | work.weights(work.stage.after[0])
    tune(nano, work.folder, work.stage.config(work.args.seconds), start, group)


def _gate(work: Work) -> None:
    group, nano = current_group(), work.nano()
    start = nano.state() | work.weights(work.stage.after[0])
    config = recipe.gate_config(work.runs / "report/scores.json", work.args.seconds)
    tune(nano, work.folder, config, start, group)


def _mean(share: float) -> Callable[[Work], None]:
    def run(work: Work) -> None:
        first, second = work.stage.after
        blend(work.final(first), work.final(second), work.folder, share)

    return run


def _export(work: Work) -> None:
    weights = load_file(work.args.weights or work.final("settle"))
    export(weights, work.encoder(), work.out, work.runs / "report")


def _card(work: Work) -> None:
    write_card(work.out, work.runs / "report")


def _eval(work: Work) -> None:
    from omnivmed.inference import load_model
    from omnivmed.weights.names import resolve
    from train.nano.measure.door import Door
    from train.nano.measure.evaluation import Exam, evaluate

    args, silent = work.args, {}
    if args.gated:
        silent = json.loads((work.runs / "report/scores.json").read_text())["silent"]
    own = work.runs / "export"
    model = args.model or (str(own) if own.is_dir() else "nano")
    with Door(work.data, work.runs, load_model(model, offline=True).batch()) as door:
        folder, texts = resolve(model).folder, load_texts(work.data)
        exam = Exam(work.bank, work.human(), texts, door, folder, args.language_model, work.runs)
        evaluate(exam, work.out, silent, args.per_source, current_group())


def _familiar(work: Work) -> None:
    from omnivmed.inference import load_model
    from omnivmed.spoken.familiar import FILE
    from train.nano.measure.familiar import familiar

    model = load_model(work.args.model or "nano", offline=True)
    work.out.mkdir(parents=True, exist_ok=True)
    told = familiar(work.bank, model, work.runs / "packages", work.folder, work.out / FILE)
    (work.folder / "report.md").write_text(told + "\n", encoding="utf-8")
    print(told)


def _beyond(work: Work) -> None:
    from train.nano.measure.probes import beyond

    parts = {name: work.features(name, work.healed) for name in ("train", "train_clean", "test")}
    parts["clean"] = parts.pop("train_clean")
    beyond(work.bank, work.data, work.healed, parts, work.out)


def _ceiling(work: Work) -> None:
    from train.nano.measure.ceiling import ceiling
    from train.nano.parts.teacher import build_teacher

    ceiling(work.bank, build_teacher(work.args.encoder_onnx), work.healed, work.out)


STAGES: dict[str, Stage] = {
    "decode": Stage(_decode),
    "heal": Stage(_heal, ("decode",)),
    "cache": Stage(_cache, ("heal",)),
    "words": Stage(_words, ("cache",)),
    "general": Stage(_general),
    "align": Stage(_leg, ("words", "general"), recipe.align_config),
    "instruct": Stage(_leg, ("align",), recipe.instruct_config),
    "mixed": Stage(_leg, ("instruct",), recipe.mixed_config),
    "adapt": Stage(_adapt, ("mixed",)),
    "polish": Stage(_leg, ("adapt",), recipe.polish_config),
    "refine": Stage(_leg, ("polish",), recipe.refine_config),
    "blend": Stage(_mean(0.5), ("polish", "refine")),
    "forms": Stage(_leg, ("blend",), recipe.forms_config),
    "texts": Stage(_leg, ("forms",), recipe.texts_config),
    "settle": Stage(_mean(recipe.SETTLE_SHARE), ("blend", "texts")),
    "export": Stage(_export, ("settle",)),
    "eval": Stage(_eval, ("export",)),
    "card": Stage(_card, ("eval",)),
    "gate": Stage(_gate, ("refine",), aside=True),
    "beyond": Stage(_beyond, ("cache",), aside=True),
    "ceiling": Stage(_ceiling, ("heal",), aside=True),
    "familiar": Stage(_familiar, ("export",), aside=True),
}
PARALLEL = (_leg, _gate, _eval)
"""What several processes can share."""


def run(args: argparse.Namespace) -> None:
    """The stage that the command line names, or ``all``: each in a process of its own, going on where one stopped."""
    if args.stage == "all":
        for name, stage in STAGES.items():
            if not stage.aside:
                words = [name if word == "all" else word for word in sys.argv[1:]]
                subprocess.run([sys.executable, "-m", "train.nano", *words], check=True)
        return
    if STAGES[args.stage].run in PARALLEL and args.processes > 1 and "RANK" not in os.environ:
        raise SystemExit(launch(args.processes))
    STAGES[args.stage].run(Work(args))
