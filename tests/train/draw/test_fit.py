"""The recipe in miniature: it learns, along its golden curve, and goes on as if it had not been stopped."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from omnivmed.generation.config import AutoencoderConfig
from tests.train.draw import phantom
from train.draw import recipe
from train.draw.data.latents import Latents, build_latents
from train.draw.data.pictures import Pictures
from train.draw.data.prompts import PromptBook, prompts_of
from train.draw.export import averaged
from train.draw.fit.decoder import DecoderConfig, fit_encoder, reconstruction, train_decoder
from train.draw.fit.expert import train_expert
from train.loop import fit as loop

GOLDEN = Path(__file__).parents[1] / "golden" / "draw_losses.txt"
SMALL = AutoencoderConfig(side=128, patch=16, channels=4, widths=(8, 8, 8), blocks=(1, 1, 1))
STEPS = 40

Taught = tuple[Pictures, Latents, PromptBook]


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Taught:
    folder = tmp_path_factory.mktemp("draw")
    pictures = phantom.pictures()
    build_latents(pictures, fit_encoder(pictures, SMALL), folder)
    latents = Latents.open(folder)
    texts = [text for e in latents.examples for text in prompts_of(e, pictures)]
    return pictures, latents, phantom.book(texts)


def test_the_encoder_is_fitted_and_the_decoder_adds_to_it(tmp_path: Path) -> None:
    pictures = phantom.pictures()
    torch.manual_seed(0)
    model = fit_encoder(pictures, SMALL)
    z = model.encode(torch.randn(1, 3, 128, 128))
    before = reconstruction(model, pictures, "test")["mean"]
    encoder = {k: v.clone() for k, v in model.state_dict().items() if not k.startswith("refinement.")}
    config = DecoderConfig(SMALL, seconds=None, steps=30, batch=4, lr=2e-3, warmup=3, bfloat16=False)
    train_decoder(pictures, model, tmp_path, config)
    assert z.shape == (1, 4, 8, 8)
    assert reconstruction(model, pictures, "test")["mean"] > before + 0.1
    assert all(torch.equal(model.state_dict()[k], v) for k, v in encoder.items())  # latents stay valid


def run(taught: Taught, folder: Path, steps: int = STEPS) -> dict[str, torch.Tensor]:
    return train_expert(*taught, folder, recipe.tiny_expert_leg(steps))


def test_golden_curve(taught: Taught, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "SMOOTHING", 0.0)
    monkeypatch.setattr("train.draw.fit.expert.LOG_EVERY", 5)
    run(taught, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    found = [(row["step"], row["loss"]) for row in rows if "loss" in row]
    wanted = [(int(a), float(b)) for a, b in (line.split() for line in GOLDEN.read_text().splitlines())]
    assert [step for step, _ in found] == [step for step, _ in wanted]
    assert [loss for _, loss in found] == pytest.approx([loss for _, loss in wanted], abs=2e-3)
    assert wanted[-1][1] < 0.8 * wanted[0][1]


def test_interrupted_twice_equals_uninterrupted(
    taught: Taught, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(taught, tmp_path / "whole", 24)
    monkeypatch.setattr("train.draw.fit.expert.SAVE_EVERY", 5)

    class Killed(Exception):
        pass

    real = loop.Run.save
    for stop in (10, 20):

        def save(self, step, *args, _stop=stop, **kwargs):  # type: ignore[no-untyped-def]
            real(self, step, *args, **kwargs)
            if step == _stop:
                raise Killed

        monkeypatch.setattr(loop.Run, "save", save)
        with pytest.raises(Killed):
            run(taught, tmp_path / "parts", 24)
    monkeypatch.setattr(loop.Run, "save", real)
    parts = run(taught, tmp_path / "parts", 24)
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_a_further_leg_begins_with_the_last(taught: Taught, tmp_path: Path) -> None:
    first = run(taught, tmp_path / "one", 4)
    config = replace(recipe.tiny_expert_leg(2), lr=1e-12, floor=1.0)
    second = train_expert(*taught, tmp_path / "two", config, first)
    assert all(torch.allclose(first[k], second[k], atol=1e-6) for k in first if not k.startswith("ema."))
    assert load_file(tmp_path / "two" / "final.safetensors").keys() == first.keys()


def test_what_ships_is_the_average() -> None:
    tensors = {"a": torch.zeros(2), "ema.a": torch.ones(2), "scale": torch.full((1,), 3.0)}
    kept = averaged(tensors)
    assert kept.keys() == {"a", "scale"}
    assert torch.equal(kept["a"], torch.ones(2))
    assert torch.equal(kept["scale"], torch.full((1,), 3.0))
