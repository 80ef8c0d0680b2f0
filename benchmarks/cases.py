"""What is compared: each case is a baseline a user would otherwise have, and ours, on the same input and weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from omnivmed.model.decode import greedy, make_decoder
from omnivmed.model.modeling import OmniVMedForConditionalGeneration
from omnivmed.model.tokens import select_kept
from omnivmed.pruning import keep_mask
from omnivmed.vision import Patches

Work = Callable[[], object]

PROMPT_START = [1, 4093, 198]
"""`<|im_start|>user` and a line break in nano's vocabulary."""


@dataclass(frozen=True)
class Case:
    """One row of the table. `note` tells sizes; `check` is what was verified about the two results."""

    group: str
    name: str
    baseline: str
    note: str
    run_baseline: Work
    run_ours: Work
    check: str = ""


def pruning_case(patches: Patches) -> Case:
    """The keep mask against the rule written out over patches in torch, as the public processor computes it."""
    t, gh, gw = patches.grid_thw
    rows = torch.from_numpy(patches.patches).view(t, gh * gw // patches.merge_size**2, -1)

    def public_rule() -> torch.Tensor:
        distance = (rows[1:] - rows[:-1]).abs().mean(-1)
        keep = distance > 0.1
        keep[keep.sum(-1) == 0, 0] = True
        return torch.cat([torch.ones_like(keep[:1]), keep])

    ours = keep_mask(patches, 0.1)
    same = bool(np.array_equal(public_rule().numpy().reshape(ours.keep.shape), ours.keep))
    return Case(
        "pruning",
        "keep mask with distances",
        "the rule over patches in torch",
        f"{t} frames, {ours.total} tokens, {ours.kept} kept",
        public_rule,
        lambda: keep_mask(patches, 0.1),
        f"masks equal: {same}",
    )


def encoder_cases(
    model: OmniVMedForConditionalGeneration, stock: Any, shapes: list[tuple[int, int, int]]
) -> Iterator[Case]:
    """Frames of one shape in a batch against the stock loop over frames within each layer."""
    ours, theirs = model.model.vision_model, stock.model.vision_model
    for frames, rows, columns in shapes:
        generator = torch.Generator().manual_seed(0)
        pixels = torch.rand(frames * rows * columns, 588, generator=generator) * 2 - 1
        grid, merge = torch.tensor([[frames, rows, columns]]), torch.tensor([2])

        def stock_run(
            p: torch.Tensor = pixels, g: torch.Tensor = grid, m: torch.Tensor = merge
        ) -> torch.Tensor:
            hidden: torch.Tensor = theirs(p, g, m).last_hidden_state
            return hidden

        def our_run(
            p: torch.Tensor = pixels, g: torch.Tensor = grid, m: torch.Tensor = merge
        ) -> torch.Tensor:
            hidden: torch.Tensor = ours(p, g, m).last_hidden_state
            return hidden

        with torch.inference_mode():
            difference = float((stock_run() - our_run()).abs().max())
        yield Case(
            "encoding",
            f"{frames} frame(s) of {rows * 14} x {columns * 14} px",
            "stock encoder, loop over frames",
            f"{frames * rows * columns} patches",
            stock_run,
            our_run,
            f"largest difference {difference:.1e}",
        )


def prefill_cases(model: OmniVMedForConditionalGeneration, stock: Any, lengths: list[int]) -> Iterator[Case]:
    """Reading a prompt: logits of the last position and cache only, against logits of all positions."""
    decoder = make_decoder(model)
    for length in lengths:
        ids = _text_ids(length)
        embeds = model.embed_prompt(ids).detach()

        def stock_run(e: torch.Tensor = embeds) -> torch.Tensor:
            logits: torch.Tensor = stock(inputs_embeds=e, use_cache=True).logits[0, -1]
            return logits

        def our_run(e: torch.Tensor = embeds) -> torch.Tensor:
            return decoder.prefill(e, decoder.new_cache())

        with torch.inference_mode():
            same = int(stock_run().argmax()) == int(our_run().argmax())
        yield Case(
            "prefill",
            f"{length} tokens",
            "stock forward, all logits",
            "",
            stock_run,
            our_run,
            f"same next token: {same}",
        )


def pruned_prefill_case(model: OmniVMedForConditionalGeneration, total: int, share: float) -> Case:
    """What pruning itself saves: the same decoder on all tokens and on the kept share."""
    decoder = make_decoder(model)
    embeds = model.embed_prompt(_text_ids(total)).detach()
    kept = embeds[:, : round(total * share)]
    return Case(
        "prefill",
        f"{total} tokens pruned to {kept.shape[1]}",
        "the same decoder, nothing pruned",
        f"{share:.0%} kept",
        lambda: decoder.prefill(embeds, decoder.new_cache()),
        lambda: decoder.prefill(kept, decoder.new_cache()),
    )


def decode_case(model: OmniVMedForConditionalGeneration, stock: Any, prompt: int, tokens: int) -> Case:
    """Answering after a prompt of `prompt` tokens: `generate` against the decoder, prompt included on both sides."""
    decoder = make_decoder(model)
    ids = _text_ids(prompt)
    embeds = model.embed_prompt(ids).detach()

    def stock_run() -> list[int]:
        return _generate(stock, tokens, input_ids=ids, attention_mask=torch.ones_like(ids))

    def our_run() -> list[int]:
        return list(greedy(decoder, embeds, decoder.new_cache(), tokens))

    return Case(
        "decoding",
        f"{tokens} tokens after {prompt}",
        "stock generate",
        type(decoder).__name__,
        stock_run,
        our_run,
        _agreement(stock_run(), our_run()),
    )


def answer_cases(
    model: OmniVMedForConditionalGeneration, stock: Any, patches: Patches, what: str, tokens: int
) -> Iterator[Case]:
    """A question about a study, from patches to the last token: stock without pruning, and ours at 0.1.

    The follow-up question reuses the encoded study and its cached keys and values; stock starts anew.
    """
    t, gh, gw = patches.grid_thw
    per_frame = gh * gw // patches.merge_size**2
    pixels = torch.from_numpy(patches.patches).to(model.dtype)
    grid, merge = torch.tensor([[t, gh, gw]]), torch.tensor([patches.merge_size])
    video = model.config.video_token_id
    question = _text_ids(14, seed=1)[0].tolist()

    def prompt(kept_per_frame: list[int]) -> torch.Tensor:
        ids = list(PROMPT_START)
        for kept in kept_per_frame:
            ids += [video] * kept + [28]
        return torch.tensor([ids + question])

    decoder = make_decoder(model)

    def stock_run(keep: np.ndarray | None = None) -> list[int]:
        kept = [per_frame] * t if keep is None else keep.reshape(t, -1).sum(1).tolist()
        ids = prompt(kept)
        mask = None if keep is None else torch.from_numpy(keep.reshape(-1))
        return _generate(
            stock,
            tokens,
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pixel_values_videos=pixels,
            video_grid_thw=grid,
            video_merge_sizes=merge,
            **({} if mask is None else {"video_compression_mask": mask}),
        )

    def read() -> tuple[torch.Tensor, torch.Tensor]:
        mask = keep_mask(patches, 0.1)
        features = model.encode(pixels, grid, merge)
        ids = prompt(mask.kept_per_frame.tolist())
        return model.embed_prompt(ids, select_kept(features, torch.from_numpy(mask.keep.reshape(-1)))), ids

    def first() -> list[int]:
        embeds, _ = read()
        return list(greedy(decoder, embeds, decoder.new_cache(), tokens))

    mask = keep_mask(patches, 0.1)
    with torch.inference_mode():
        embeds, ids = read()
        held = decoder.new_cache()
        decoder.prefill(embeds, held)
    prefix = ids.shape[1] - len(question)

    def follow_up() -> list[int]:
        held.truncate(prefix)
        return list(greedy(decoder, model.embed_prompt(torch.tensor([question])), held, tokens))

    note = f"{what}: {t} frame(s), {mask.total} visual tokens, {mask.kept} kept, answer of {tokens}"
    with torch.inference_mode():
        check = _agreement(stock_run(mask.keep), first())
        again = _agreement(first(), follow_up())
    yield Case(
        "answering",
        f"{what}, first question",
        "stock generate, nothing pruned",
        note,
        stock_run,
        first,
        check,
    )
    yield Case(
        "answering",
        f"{what}, next question",
        "stock generate, nothing pruned",
        note,
        stock_run,
        follow_up,
        again,
    )


def _text_ids(length: int, seed: int = 0) -> torch.Tensor:
    """Ordinary token ids ``(1, length)``; below 300 works with every vocabulary, control tokens left out."""
    return torch.randint(20, 300, (1, length), generator=torch.Generator().manual_seed(seed))


def _generate(stock: Any, tokens: int, **batch: torch.Tensor) -> list[int]:
    out = stock.generate(
        **batch, max_new_tokens=tokens, do_sample=False, eos_token_id=None, pad_token_id=0, use_cache=True
    )
    new: list[int] = out[0, batch["input_ids"].shape[1] :].tolist()
    return new


def _agreement(expected: list[int], got: list[int]) -> str:
    same = sum(a == b for a, b in zip(expected, got, strict=True))
    return f"{same} of {len(expected)} tokens equal"
