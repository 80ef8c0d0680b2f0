"""Encoding and collation: the prompt of answering, labels on answers alone, batches that equal separate runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from omnivmed.model.prompts import build_prompt, format_target
from omnivmed.records import Media, Sample
from omnivmed.vision import VisionBudget
from tests.eval import trees
from train.data import phantoms
from train.data.collate import collate
from train.data.costs import cost_of
from train.data.dataset import Encoder, PassDataset
from train.data.encode import IGNORE, BadSample, Placeholders, encode
from train.data.sources import read_source
from train.loop.build import Built, build
from train.loop.parts import freeze, parameter_groups, part_of
from train.recipes import Rates, Source, recipe

BUDGET = VisionBudget(max_tokens=64, max_frames=6, image_merge_size=2, min_tokens=4, min_frames=4)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    phantoms.write(root / "phantoms", stills=20, volumes=4, clips=4)
    trees.picture(root / "wide.png", size=(60, 120))
    return root


@pytest.fixture(scope="module")
def built() -> Built:
    texts = ["Which shape is shown?", "A disc.", "To the right.", "Describe the picture."]
    return build(recipe("tiny"), texts)


def samples(folder: Path, name: str) -> tuple[Sample, ...]:
    return read_source(Source("conversations", f"phantoms/{name}.jsonl"), folder, 0).samples


def encoded(built: Built, sample: Sample, threshold: float | None = None, **more: Any) -> Any:
    return encode(sample, built.tokenizer, built.placeholders, BUDGET, threshold=threshold, **more)


def test_one_turn_is_the_prompt_of_answering_plus_the_answer(built: Built, folder: Path) -> None:
    sample = samples(folder, "captions")[0]
    e = encoded(built, sample)
    t, h, w = e.patches[0].token_grid
    ids = built.placeholders
    prompt = build_prompt(
        built.tokenizer, sample.turns[0][0], "image", [h * w], None, [], ids.image, ids.video
    )
    target = format_target(built.tokenizer, sample.turns[0][1])
    assert e.input_ids.tolist() == prompt + target
    assert e.labels.tolist() == [IGNORE] * len(prompt) + target
    assert built.tokenizer.convert_ids_to_tokens(target[-1]) == "<|im_end|>"
    assert t == 1


def test_every_answer_of_a_conversation_is_supervised_and_the_ids_are_those_of_the_chat(
    built: Built, folder: Path
) -> None:
    sample = Sample("x", Media("image", (folder / "wide.png",)), (("First?", "One."), ("Then?", "Two.")))
    e = encoded(built, sample)
    ids = built.placeholders
    tokens = int((e.input_ids == ids.image).sum())
    chat = build_prompt(
        built.tokenizer, "Then?", "image", [tokens], None, [("First?", "One.")], ids.image, ids.video
    )
    assert e.input_ids.tolist() == chat + format_target(built.tokenizer, "Two.")
    spoken = built.tokenizer.decode(e.labels[e.labels != IGNORE].tolist())
    assert spoken == "One.<|im_end|>Two.<|im_end|>"


def test_pruned_clips_have_one_placeholder_per_kept_token(built: Built, folder: Path) -> None:
    whole, pruned = (encoded(built, samples(folder, "clips")[0], t) for t in (None, 0.1))
    assert whole.keep is None
    assert int(pruned.keep.sum()) == int((pruned.input_ids == built.placeholders.video).sum())
    assert len(pruned.input_ids) < len(whole.input_ids)
    assert "Time 0.0s:" in built.tokenizer.decode(pruned.input_ids.tolist())


def test_several_stills_share_the_budget(built: Built, folder: Path) -> None:
    pair = next(s for s in samples(folder, "captions") if len(s.media.paths) == 2)
    small = replace(BUDGET, max_tokens=8)
    e = encode(pair, built.tokenizer, built.placeholders, small)
    assert len(e.patches) == 2
    assert sum(p.tokens for p in e.patches) <= 8


def test_costs_are_upper_bounds(built: Built, folder: Path) -> None:
    every = [s for name in ("captions", "questions", "volumes", "clips") for s in samples(folder, name)]
    every.append(Sample("wide", Media("image", (folder / "wide.png",)), (("Q?", "A"),)))
    for sample in every:
        e = encoded(built, sample)
        bound = cost_of(sample, built.tokenizer, BUDGET)
        assert len(e.input_ids) <= bound.positions
        assert sum(len(p.patches) for p in e.patches) <= bound.patches
        if sample.media.kind == "image":
            assert sum(len(p.patches) for p in e.patches) == bound.patches  # exact from the header


def test_what_cannot_be_used_is_a_named_bad_sample(built: Built, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    broken = Sample("set/1", Media("image", (tmp_path / "broken.png",)), (("Q?", "A"),))
    with pytest.raises(BadSample, match="set/1"):
        encoded(built, broken)
    with pytest.raises(BadSample, match="longer than 20"):
        encoded(built, samples(folder, "clips")[0], max_length=20)
    stage = recipe("tiny").stages[0]
    encoder = Encoder(built.tokenizer, built.placeholders, built.pad_id, stage)
    batch = encoder.batch([broken, samples(folder, "captions")[0]])
    assert len(batch["sample_ids"]) == 1
    assert batch["bad"][0][0] == "set/1"
    loss = built.model(**inputs(encoder.batch([broken])), num_items_in_batch=1.0).loss
    assert float(loss.detach()) == 0  # a pass of bad samples alone learns nothing and hangs nobody


def inputs(batch: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in batch.items() if k not in ("sample_ids", "bad")}


def summed_loss(built: Built, batch: dict[str, Any]) -> torch.Tensor:
    built.model.train(False)
    loss: torch.Tensor = built.model(**batch, num_items_in_batch=1.0).loss
    return loss


@pytest.mark.parametrize("packed", [False, True])
def test_batches_equal_separate_runs(packed: bool, built: Built, folder: Path) -> None:
    chosen = [samples(folder, "captions")[i] for i in (0, 4, 7)]
    chosen += [samples(folder, "questions")[9], *samples(folder, "clips")[:2], samples(folder, "volumes")[1]]
    each = [encoded(built, s, 0.1) for s in chosen]
    assert len({len(e.input_ids) for e in each}) > 3
    with torch.no_grad():
        alone = sum(float(summed_loss(built, collate([e], 0))) for e in each)
        together = float(summed_loss(built, collate(each, 0, packed=packed)))
    assert together == pytest.approx(alone, rel=2e-6)


def test_packed_rows_stay_apart_and_the_cache_is_off(built: Built, folder: Path) -> None:
    """The trap: with the default cache, transformers forgets the borders between packed samples."""
    each = [encoded(built, s) for s in samples(folder, "captions")[:3]]
    batch = collate(each, 0, packed=True)
    assert batch["use_cache"] is False
    assert "attention_mask" not in batch
    lengths = [len(e.input_ids) for e in each]
    starts = np.cumsum([0, *lengths[:-1]])
    assert batch["position_ids"][0, starts].tolist() == [0, 0, 0]
    assert batch["labels"][0, starts].tolist() == [IGNORE] * 3
    with torch.no_grad():
        built.model.train(False)
        before = built.model(**{k: v for k, v in batch.items() if k != "labels"}).logits
        other = {**batch, "input_ids": batch["input_ids"].clone()}
        text = starts[1] - 2  # the last words of the first sample
        other["input_ids"][0, text] = 300
        after = built.model(**{k: v for k, v in other.items() if k != "labels"}).logits
    assert torch.equal(before[0, starts[1] :], after[0, starts[1] :])
    assert not torch.equal(before[0, text], after[0, text])


def test_a_batch_without_pictures_runs_the_encoder_and_changes_no_gradient(
    built: Built, folder: Path
) -> None:
    text = next(s for s in samples(folder, "questions") if s.media.kind == "text")
    batch = collate([encoded(built, text)], 0)
    assert not bool(batch["image_compression_mask"].any())
    gradients = []
    for one in (batch, {k: v for k, v in batch.items() if not k.startswith(("pixel", "image"))}):
        built.model.zero_grad()
        summed_loss(built, one).backward()
        gradients.append({n: p.grad for n, p in built.model.named_parameters()})
    dummy, plain = gradients
    for name, gradient in dummy.items():
        assert gradient is not None, name  # every part takes part, so no rank waits
        if part_of(name) == "llm":
            expected = plain[name]
            assert expected is not None
            assert torch.equal(gradient, expected)
        else:
            assert not gradient.any()
    built.model.zero_grad()


def test_parts_rates_and_freezing(built: Built) -> None:
    counts = freeze(built.model, Rates(None, 1e-3, 1e-5))
    assert counts["llm"] == 0 < counts["projector"] < counts["encoder"]
    groups = parameter_groups(built.model, Rates(None, 1e-3, 1e-5), weight_decay=0.1)
    assert [(g["part"], g["lr"], g["weight_decay"]) for g in groups] == [
        ("projector", 1e-3, 0.1),
        ("projector", 1e-3, 0.0),
        ("encoder", 1e-5, 0.1),
        ("encoder", 1e-5, 0.0),
    ]
    assert sum(p.numel() for g in groups for p in g["params"]) == sum(counts.values())
    with pytest.raises(ValueError, match="no part"):
        part_of("something.weight")
    freeze(built.model, Rates(1e-3, 1e-3, 1e-3))
    assert all(p.requires_grad for p in built.model.parameters())


def test_ranks_share_a_step_without_overlap(built: Built) -> None:
    from tests.train.data.test_batches import plan

    stage = recipe("tiny").stages[0]
    encoder = Encoder(built.tokenizer, Placeholders(3, 4), 0, stage)
    ranks = [PassDataset([], plan(4), encoder, steps=3, rank=r, world=2) for r in range(2)]
    assert len(ranks[0]) == 6
    for step in range(3):
        seen = [i for r in ranks for k in range(2) for i in r.members(2 * step + k)]
        assert sorted(seen) == sorted(plan(4).samples(step))
