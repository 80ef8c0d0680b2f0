"""Greedy answers to many questions about many studies: what the evaluation spends its time on.

As in the product the adapter is merged into the weights, and the layers are those of ``omnivmed.model.decode``.
Every picture is encoded once. All questions about a study share its beginning: they are read as branches that cannot
see each other (as in training, ``train/nano/fit/pack.py``), without padding; then the answers of all questions grow
side by side, and a finished one leaves the batch.

Legend: ``N`` positions of all studies in a batch, ``R`` questions, ``M`` positions a question holds, ``H`` query
heads, ``G`` key-value heads, ``D`` head size, ``W`` width.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnivmed.inference.prompts import build_prompt
from omnivmed.model.decode import DecoderLayer, PackedLinear
from train.nano.data.studies import StudyView
from train.nano.fit.pack import IMAGE_TOKEN, VIDEO_TOKEN
from train.nano.fit.tuning import Nano
from train.nano.parts.features import encode
from train.nano.parts.language_model import LoraLinear
from train.nano.text.questions import QA

POSITIONS = 6000  # of all studies that are read together
Attend = Callable[[int, Tensor], Tensor]


@dataclass(frozen=True)
class Branches:
    """One study and its questions as ids. Question k sees the first ``shared`` ids and ``spans[k]``."""

    ids: list[int]
    positions: list[int]
    shared: int
    spans: list[tuple[int, int]]

    def sees(self) -> Tensor:
        """Bool (n, n): which earlier ids each one sees."""
        n = len(self.ids)
        allowed = torch.ones(n, n, dtype=torch.bool).tril()
        for start, end in self.spans:
            allowed[start:end, self.shared : start] = False
        return allowed


class Many:
    """The language model of a nano as it is now, merged, ready for batches. Later changes of nano are not seen."""

    def __init__(self, nano: Nano) -> None:
        self.nano = nano
        text, config = nano.lm.model, nano.lm.config
        self.embed: Tensor = text.embed_tokens.weight.detach()
        self.dtype = self.embed.dtype
        self.heads, self.groups = config.num_attention_heads, config.num_key_value_heads
        self.size = text.layers[0].self_attn.head_dim
        self.eps = config.rms_norm_eps
        self.layers = [DecoderLayer(merged(layer), self.dtype, True) for layer in text.layers]
        self.norm = text.norm.weight.detach().float()
        self.head = PackedLinear(nano.lm.lm_head.weight.detach(), None, self.dtype)
        positions = torch.arange(config.max_position_embeddings)
        cos, sin = text.rotary_emb(torch.empty(0), positions[None])
        self.turns = torch.complex(cos[0, :, : self.size // 2], sin[0, :, : self.size // 2])
        vocabulary = nano.tokenizer.get_added_vocab()
        self.image_id, self.video_id, self.stop = (
            vocabulary[t] for t in (IMAGE_TOKEN, VIDEO_TOKEN, "<|im_end|>")
        )
        self.encoded: dict[bytes, Tensor] = {}

    @torch.inference_mode()
    def answers(self, cases: Sequence[tuple[StudyView, Sequence[QA]]], tokens: int) -> list[list[str]]:
        """What is said to every question of every case, at most ``tokens`` tokens of each.

        An answer that is the expected sentence (``QA.plain``) comes whole, however long that is.
        """
        prepared = [self.branches(study, questions) for study, questions in cases]
        self.encode([study for study, _ in cases])
        out: list[list[str]] = [[] for _ in cases]
        batch: list[int] = []
        for case in sorted(range(len(cases)), key=lambda c: len(prepared[c].ids)):
            if batch and sum(len(prepared[c].ids) for c in [*batch, case]) > POSITIONS:
                self.batch(cases, prepared, batch, tokens, out)
                batch = []
            batch.append(case)
        if batch:
            self.batch(cases, prepared, batch, tokens, out)
        return out

    # ---------------------------------------------------------------------------------------- pictures

    def encode(self, studies: Sequence[StudyView]) -> None:
        """Features of all frames that are new; equal frames are encoded once."""
        new = {frame_key(f): f for s in studies for f in s.frames if frame_key(f) not in self.encoded}
        self.encoded |= zip(new, encode(self.nano.vit, list(new.values())), strict=True)

    def visual(self, study: StudyView) -> Tensor:
        """Projected kept tokens (V, W)."""
        rows = [
            self.encoded[frame_key(f)][torch.from_numpy(k)]
            for f, k in zip(study.frames, study.keep, strict=True)
        ]
        projected: Tensor = self.nano.projector(torch.cat(rows))
        return projected.to(self.dtype)

    # ---------------------------------------------------------------------------------------- questions

    def branches(self, study: StudyView, questions: Sequence[QA]) -> Branches:
        prompts = [
            build_prompt(
                self.nano.tokenizer,
                qa.question,
                study.kind,
                study.tokens_per_frame,
                study.times_s,
                qa.history,
                self.image_id,
                self.video_id,
            )
            for qa in questions
        ]
        shared = max(i for i, t in enumerate(prompts[0]) if t in (self.image_id, self.video_id)) + 1
        ids, positions, spans = prompts[0][:shared], list(range(shared)), []
        for prompt in prompts:
            spans.append((len(ids), len(ids) + len(prompt) - shared))
            ids = ids + prompt[shared:]
            positions += range(shared, len(prompt))
        return Branches(ids, positions, shared, spans)

    def batch(
        self,
        cases: Sequence[tuple[StudyView, Sequence[QA]]],
        prepared: Sequence[Branches],
        chosen: Sequence[int],
        tokens: int,
        out: list[list[str]],
    ) -> None:
        expected = [
            [*self.nano.tokenizer.encode(qa.plain.strip(), add_special_tokens=False), self.stop]
            for c in chosen
            for qa in cases[c][1]
        ]
        room = max(tokens, *map(len, expected))
        trees = [prepared[c] for c in chosen]
        said = self.grow(trees, [self.visual(cases[c][0]) for c in chosen], tokens, expected, room)
        row = 0
        for c in chosen:
            for qa in cases[c][1]:
                ids = said[row]
                exact = ids == expected[row]
                ids = ids[:tokens]
                ids = ids[: ids.index(self.stop)] if self.stop in ids else ids
                out[c].append(qa.plain if exact else self.nano.tokenizer.decode(ids).strip())
                row += 1

    # ---------------------------------------------------------------------------------------- the model

    def grow(
        self,
        trees: Sequence[Branches],
        visual: Sequence[Tensor],
        tokens: int,
        expected: Sequence[Sequence[int]],
        room: int,
    ) -> list[list[int]]:
        """Ids of every answer, <|im_end|> included where it came within ``tokens`` (or as ``expected``)."""
        starts = [sum(len(t.ids) for t in trees[:k]) for k in range(len(trees) + 1)]
        lengths = torch.tensor([t.shared + end - start for t in trees for start, end in t.spans])
        rows, held = len(lengths), int(lengths.max())
        places = torch.zeros(
            rows, held, dtype=torch.long
        )  # of what each question holds, among the N positions
        row = 0
        for tree, base in zip(trees, starts, strict=False):
            for start, end in tree.spans:
                own = [*range(base, base + tree.shared), *range(base + start, base + end)]
                places[row, : len(own)] = torch.tensor(own)
                row += 1
        keys = [torch.empty(0)] * len(self.layers)
        values = list(keys)
        masks = [t.sees().repeat(self.heads // self.groups, 1) for t in trees]

        def read(number: int, qkv_NhD: Tensor) -> Tensor:
            """Study by study; what every question will see is put aside, with room for its answer."""
            gathered = qkv_NhD[:, self.heads :][places].transpose(1, 2)  # (R, 2G, M, D)
            wide = gathered.new_empty(rows, 2 * self.groups, held + room, self.size)
            wide[:, :, :held] = gathered
            wide[:, :, held:] = 0
            keys[number], values[number] = wide[:, : self.groups], wide[:, self.groups :]
            parts = []
            for k, mask in enumerate(masks):
                part = qkv_NhD[starts[k] : starts[k + 1]].transpose(0, 1)  # (H + 2G, n, D)
                n = part.shape[1]
                query = part[: self.heads].reshape(1, self.groups, -1, self.size)
                key, value = part[None, self.heads :].chunk(2, 1)
                seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
                parts.append(seen.reshape(self.heads, n, self.size).transpose(0, 1))
            return torch.cat(parts)

        embeds = self.embed[torch.tensor([i for t in trees for i in t.ids])].clone()
        marked = [i in (self.image_id, self.video_id) for t in trees for i in t.ids]
        embeds[torch.tensor(marked)] = torch.cat(list(visual))
        hidden = self.forward(embeds, torch.tensor([p for t in trees for p in t.positions]), read)
        last = torch.tensor([b + end - 1 for t, b in zip(trees, starts, strict=False) for _, end in t.spans])
        token = self.likeliest(hidden[last])

        said: list[list[int]] = [[] for _ in range(rows)]
        alive = torch.arange(rows)  # questions still being answered
        slots = torch.arange(held + room)
        for step in range(room):
            going = []
            for k, (r, t) in enumerate(zip(alive.tolist(), token.tolist(), strict=True)):
                said[r].append(t)
                # after ``tokens`` only an answer that is the expected sentence so far goes on
                more = len(said[r]) < tokens or said[r] == list(expected[r][: len(said[r])])
                if t != self.stop and more and len(said[r]) < room:
                    going.append(k)
            if not going:
                break
            if len(going) < len(alive):
                pick = torch.tensor(going)
                alive, token = alive[pick], token[pick]
                keys, values = [k[pick] for k in keys], [v[pick] for v in values]
            length, at = lengths[alive], held + step
            seen = (slots < length[:, None]) | ((slots >= held) & (slots <= at))
            go_on = partial(self.continued, keys, values, seen[:, None, None, : at + 1])
            token = self.likeliest(self.forward(self.embed[token], length + step, go_on))
        return said

    def continued(
        self, keys: list[Tensor], values: list[Tensor], mask: Tensor, number: int, qkv_RhD: Tensor
    ) -> Tensor:
        """Attention of one new position of every question, which goes to the last place of ``mask``."""
        end = mask.shape[-1]
        query, key, value = qkv_RhD.split([self.heads, self.groups, self.groups], 1)
        keys[number][:, :, end - 1], values[number][:, :, end - 1] = key, value
        query = query.reshape(len(query), self.groups, -1, self.size)
        held = keys[number][:, :, :end], values[number][:, :, :end]
        return F.scaled_dot_product_attention(query, *held, attn_mask=mask).flatten(1, 2)

    def forward(self, embeds_NW: Tensor, positions_N: Tensor, attend: Attend) -> Tensor:
        """The layers over all positions at once; ``attend(layer, qkv (N, H + 2G, D))`` → (N, H, D)."""
        x = embeds_NW.float()
        turn = self.turns[positions_N][:, None]
        for number, layer in enumerate(self.layers):
            qkv = layer.qkv(self.rms(x, layer.norm1).to(self.dtype)).float().view(len(x), -1, self.size)
            rotated = qkv[:, : self.heads + self.groups]
            torch.view_as_complex(rotated.unflatten(-1, (-1, 2))).mul_(turn)
            x = x + layer.out(attend(number, qkv.to(self.dtype)).flatten(1))
            x = x + layer.mlp(self.rms(x, layer.norm2).to(self.dtype))
        return x

    def rms(self, x: Tensor, scale: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), None, self.eps) * scale

    def likeliest(self, hidden_RW: Tensor) -> Tensor:
        return self.head(self.rms(hidden_RW, self.norm).to(self.dtype)).argmax(-1)


def frame_key(frame: Any) -> bytes:
    """Of a uint8 (h, w, 3) picture."""
    return hashlib.blake2b(
        frame.tobytes(), digest_size=16, salt=bytes(str(frame.shape[:2]), "ascii")
    ).digest()


def merged(layer: Any) -> SimpleNamespace:
    """A decoder layer of transformers with W + scale * B A in place of every adapted linear."""

    def plain(linear: nn.Module) -> nn.Linear:
        if not isinstance(linear, LoraLinear):
            assert isinstance(linear, nn.Linear)
            return linear
        weight = linear.base.weight.float() + linear.scale * (linear.lora_B.float() @ linear.lora_A.float())
        out = nn.Linear(linear.base.in_features, linear.base.out_features, bias=False, device="meta")
        out.weight = nn.Parameter(weight.detach().to(linear.base.weight.dtype), requires_grad=False)
        assert linear.base.bias is None
        return out

    attention, mlp = layer.self_attn, layer.mlp
    return SimpleNamespace(
        self_attn=SimpleNamespace(
            head_dim=attention.head_dim,
            **{n: plain(getattr(attention, n)) for n in ("q_proj", "k_proj", "v_proj", "o_proj")},
        ),
        mlp=SimpleNamespace(**{n: plain(getattr(mlp, n)) for n in ("gate_proj", "up_proj", "down_proj")}),
        input_layernorm=layer.input_layernorm,
        post_attention_layernorm=layer.post_attention_layernorm,
    )
