"""Training by a list of steps: no clock decides anything, so an arm is a function of seed and budget alone.

A step names its batch by (seed, kind of batch, number). Two arms that share steps see the same pictures under the
same questions, whatever the order they come in.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from omnivmed.defaults import DEFAULT_THRESHOLD
from train.claims.parts import Parts
from train.data.tree import Packed, collate, make_tree
from train.loop.fit import Every, Learner, Loss, Schedule, fit
from train.nano.data.sampling import MIXTURE, Pool
from train.nano.data.studies import StudyView, prune, sequence_study, still
from train.nano.fit.tuning import Nano, answer_loss, sequence_pool
from train.nano.parts.language_model import lora_state, switch_lora
from train.nano.parts.words import word_loss
from train.nano.text.questions import ask, questions_for

STEPS_PER_MINUTE = 8
"""What two busy cores manage with 24 questions a step (docs/log.md)."""
SAVE_EVERY = 20
WORD_WEIGHT, WORD_BATCH = 0.3, 24


@dataclass(frozen=True)
class Kind:
    """What a batch is made of. threshold None keeps every visual token of volumes and clips.

    captions: descriptions first, as in the align stage. llm: whether the language model's LoRA learns too.
    """

    name: str
    stills: int = 6
    sequences: int = 0
    questions: int = 4
    captions: bool = False
    llm: bool = True
    threshold: float | None = DEFAULT_THRESHOLD


ALIGN = Kind("align", captions=True, llm=False)
INSTRUCT = Kind("instruct")
MIXED = Kind("mixed", stills=4, sequences=2)


@dataclass(frozen=True)
class Step:
    kind: Kind
    number: int


@dataclass(frozen=True)
class Rates:
    projector: float = 5e-4
    lora: float = 5e-4
    warmup: int = 8
    floor: float = 0.05


def stage(kind: Kind, count: int) -> list[Step]:
    """``count`` batches of one kind, numbered from 0."""
    return [Step(kind, n) for n in range(count)]


def steps_of(minutes: float) -> int:
    return max(1, round(minutes * STEPS_PER_MINUTE))


def prune_at(study: StudyView, threshold: float | None) -> StudyView:
    """The study under another pruning rule; stills stay whole."""
    if study.kind == "image" or threshold is None:
        return replace(study, keep=np.ones_like(study.keep))
    return replace(study, keep=prune(study.frames, study.kind, threshold))


def batch(
    nano: Nano, pool: Pool, sequences: list, step: Step, seed: int
) -> list[tuple[list[StudyView], Packed]]:
    """Micro-batches of one step: stills, then volumes and clips. Pure in (seed, kind's name, number)."""
    kind = step.kind
    rng = np.random.default_rng((seed, zlib.crc32(kind.name.encode()), step.number))
    out = []
    for moving, count in ((False, kind.stills), (True, kind.sequences)):
        studies, trees = [], []
        for _ in range(count):
            if moving:
                alike = sequences[rng.integers(len(sequences))]
                study = prune_at(sequence_study(alike[rng.integers(len(alike))], rng), kind.threshold)
            else:
                item = pool.draw(MIXTURE, rng)
                study = still(nano.bank[item.record_id], item, rng)
            asked = []
            if kind.captions and (caption := ask("describe", study.labels, study.kind, rng)):
                asked = [caption]
            left = kind.questions - len(asked)
            asked += questions_for(study.labels, study.kind, left, rng, refusals=0.0)
            if asked:
                studies.append(study)
                trees.append(
                    make_tree(nano.tokenizer, study.kind, study.tokens_per_frame, study.times_s, asked)
                )
        if trees:
            out.append((studies, collate(trees, nano.pad_id)))
    return out


Make = Callable[[Nano, Pool, list, Step, int], list[tuple[list[StudyView], Packed]]]
"""(nano, pool, sequences, step, seed) -> micro-batches of one step."""


def train(
    parts: Parts,
    folder: Path,
    steps: Sequence[Step],
    seed: int,
    start: dict[str, Tensor] | None = None,
    rates: Rates | None = None,
    make: Make | None = None,
) -> dict[str, Tensor]:
    """Runs the steps in order from ``start`` (default: the shared one), or resumes; returns the weights.

    Schedule: warm-up, then cosine over the whole list. A step whose kind has ``llm`` off moves the projector alone.
    make: another maker of batches than :func:`batch`.
    """
    nano, rates, make = parts.nano, rates or Rates(), make or batch
    nano.load(start or parts.start)
    switch_lora(nano.lm, True)
    projector, lora = list(nano.projector.parameters()), list(lora_state(nano.lm).values())
    pool, sequences = Pool(nano.bank, "train"), sequence_pool(nano.bank)

    def losses(at: int) -> Iterator[Loss]:
        micro = make(nano, pool, sequences, steps[at], seed)
        total = sum(float(p.weights.sum()) for _, p in micro)
        for studies, packed in micro:
            yield answer_loss(nano, studies, packed, total)
        if nano.features is not None:
            known = len(nano.features.labels)
            rows = np.random.default_rng((seed, 99, at)).integers(known, size=WORD_BATCH)
            words, _ = word_loss(nano.projector, nano.features.batch(rows), nano.table)
            yield WORD_WEIGHT * words, {}

    return fit(
        Learner(
            [{"params": projector, "base": rates.projector}, {"params": lora, "base": rates.lora}],
            nano.state,
            nano.load,
            losses,
            frozen=lambda at: () if steps[at].kind.llm else lora,
        ),
        Schedule(steps=len(steps), warmup=rates.warmup, floor=rates.floor),
        folder,
        {"seed": seed, "rates": asdict(rates), "steps": len(steps)},
        every=Every(log=SAVE_EVERY, save=SAVE_EVERY),
    )


def asked_in(folder: Path) -> int:
    """Questions that a finished arm was trained on."""
    import json

    return int(json.loads((folder / "done.json").read_text())["asked"])
