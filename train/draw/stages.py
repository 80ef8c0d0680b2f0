"""The stages of `nano_draw` in their order; only wiring, the work is elsewhere."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import torch
from safetensors.torch import load_file

from omnivmed.generation.autoencoder import Autoencoder
from train.draw import recipe
from train.draw.data.latents import Latents, build_latents
from train.draw.data.pictures import Pictures, build_pictures
from train.draw.data.prompts import PromptBook, prompts_of
from train.draw.fit.decoder import fit_encoder, train_decoder
from train.draw.fit.expert import train_expert
from train.loop.store import save_atomic


class Work:
    """One stage at work: the command line, and what is loaded when it is first needed."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.runs: Path = args.runs

    @cached_property
    def pictures(self) -> Pictures:
        """All pictures, mapped."""
        return Pictures.open(self.runs)

    @cached_property
    def latents(self) -> Latents:
        """All latents, mapped."""
        return Latents.open(self.runs)

    def folder(self, stage: str, leg: int) -> Path:
        """Where a leg works."""
        return self.runs / f"{stage}{leg}"

    def newest(self, stage: str) -> Path:
        """What the last finished leg left."""
        done = [leg for leg in range(1, 100) if (self.folder(stage, leg) / "done.json").exists()]
        if not done:
            raise SystemExit(f"no leg of {stage} is finished in {self.runs}: run it first")
        return self.folder(stage, done[-1]) / "final.safetensors"

    def autoencoder(self, path: Path | None = None) -> Autoencoder:
        """With the fitted encoder, and a leg's decoder where one is named."""
        model = Autoencoder(recipe.AUTOENCODER)
        model.load_state_dict(load_file(path or self.runs / "encoder.safetensors"))
        return model


def _pictures(work: Work) -> None:
    from train.nano.data.bank import load_bank
    from train.nano.data.index import build_index

    records = build_index(work.args.data, work.args.nano)
    build_pictures(load_bank(work.args.nano / "bank", records), work.runs)


def _encoder(work: Work) -> None:
    if not (work.runs / "encoder.safetensors").exists():
        torch.manual_seed(0)
        model = fit_encoder(work.pictures, recipe.AUTOENCODER)
        save_atomic(model.state_dict(), work.runs / "encoder.safetensors")
    build_latents(work.pictures, work.autoencoder(), work.runs)


def _prompts(work: Work) -> None:
    from omnivmed.generation.prefix import DecoderReader
    from omnivmed.inference import load_model
    from omnivmed.inference.torch_runtime import TorchRuntime

    runtime = load_model("nano", offline=True).runtime
    assert isinstance(runtime, TorchRuntime)
    reader = DecoderReader(runtime.model, runtime.decoder, runtime.tokenizer, recipe.EXPERT.layers)
    asked = {
        text
        for example in work.latents.examples
        for held_out in (False, True)
        for text in prompts_of(example, work.pictures, held_out)
    }
    PromptBook.build(sorted(asked), reader.read, work.runs)


def _decoder(work: Work) -> None:
    leg = work.args.leg
    start = None if leg == 1 else work.folder("decoder", leg - 1) / "final.safetensors"
    config = recipe.decoder_leg(leg, work.args.seconds)
    train_decoder(work.pictures, work.autoencoder(start), work.folder("decoder", leg), config)


def _expert(work: Work) -> None:
    leg = work.args.leg
    begin = None if leg == 1 else load_file(work.folder("expert", leg - 1) / "final.safetensors")
    book, config = PromptBook.open(work.runs), recipe.expert_leg(leg, work.args.seconds)
    train_expert(work.pictures, work.latents, book, work.folder("expert", leg), config, begin)


def _editor(work: Work) -> None:
    from train.draw.fit.editor import train_editor

    leg = work.args.leg
    for task in work.args.tasks or recipe.EDITORS:
        stage = f"editor_{task}"
        begin = None if leg == 1 else load_file(work.folder(stage, leg - 1) / "final.safetensors")
        config = recipe.editor_leg(task, leg, work.args.seconds)
        train_editor(work.pictures, PromptBook.open(work.runs), work.folder(stage, leg), config, begin)


def _export(work: Work) -> None:
    from train.draw.export import export

    out = work.args.out or work.runs / "export"
    editors = {
        task: work.newest(f"editor_{task}")
        for task in recipe.EDITORS
        if (work.folder(f"editor_{task}", 1) / "done.json").exists()
    }
    export(work.newest("expert"), work.newest("decoder"), out, editors)


def _measure(work: Work) -> None:
    from train.draw.measure.report import PARTS, measure

    folder = work.args.out or work.runs / "export"
    measure(folder, work.runs, work.runs / "report", tuple(work.args.parts or PARTS))


def _card(work: Work) -> None:
    from train.draw.export import write_card

    write_card(work.args.out or work.runs / "export", work.runs / "report")


STAGES: dict[str, Callable[[Work], None]] = {
    "pictures": _pictures,
    "encoder": _encoder,
    "prompts": _prompts,
    "decoder": _decoder,
    "expert": _expert,
    "editor": _editor,
    "export": _export,
    "measure": _measure,
    "card": _card,
}
"""In their order."""


def run(args: argparse.Namespace) -> None:
    """The stage that the command line names, or ``all``: each in a process of its own."""
    args.runs.mkdir(parents=True, exist_ok=True)
    if args.stage == "all":
        for name in STAGES:
            words = [name if word == "all" else word for word in sys.argv[1:]]
            subprocess.run([sys.executable, "-m", "train.draw", *words], check=True)
        return
    STAGES[args.stage](Work(args))
