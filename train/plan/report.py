"""The plan of a recipe on given cards: memory, steps, time, disk, and what to change when it does not fit."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from train.plan.memory import GB, Load, Memory, largest_load, predict, trainable
from train.plan.sizes import MODELS, Model
from train.plan.traffic import checkpoint_bytes, exchanged, host_bytes, link
from train.recipes.config import LoRA, Sharding, Stage, TrainConfig

SUSTAINED_TFLOPS = {16: 20.0, 24: 25.0, 40: 110.0, 48: 60.0, 80: 140.0, 96: 150.0, 141: 200.0}
"""bf16 TFLOP/s a card of this memory class keeps up in training (about a third of its peak): our assumption, not a
measurement. `--tflops` replaces it."""
FLOPS_FORWARD, FLOPS_FROZEN, FLOPS_TRAINED = 2, 6, 8
"""FLOPs per parameter and position with activation checkpointing: forward 2, recomputed 2, gradient of the
activations 2, gradient of the weights 2. A frozen language model still passes gradients on to the projector."""


@dataclass(frozen=True)
class Cards:
    """`count` cards with `memory_gb` each (1 GB = 1e9 bytes here; a "24 GB" card has 25.7e9)."""

    count: int
    memory_gb: int
    nodes: int = 1

    @property
    def bytes(self) -> float:
        """The card's memory. Makers count 1 GB as 2**30 bytes."""
        return self.memory_gb * 2.0**30

    @classmethod
    def parse(cls, text: str) -> Cards:
        """From "8x24", or "2x8x40" for two nodes of eight. Raises ValueError with the form."""
        found = re.fullmatch(r"(?:([1-9]\d*)x)?([1-9]\d*)x([1-9]\d*)", text.strip().lower())
        if found is None:
            raise ValueError(
                f"cards are written as 8x24 (count x GB) or 2x8x40 (nodes x count x GB), got {text!r}"
            )
        nodes = int(found[1] or 1)
        return cls(nodes * int(found[2]), int(found[3]), nodes)

    def __str__(self) -> str:
        each = f"{self.count // self.nodes} x {self.memory_gb} GB"
        return each if self.nodes == 1 else f"{self.nodes} nodes of {each}"


@dataclass(frozen=True)
class StagePlan:
    """One stage on given cards.

    days: at `tflops` per card, with the time that gradients and weights are on the way; nothing of it is counted as
    hidden behind computing. sent, sending_s: bytes a card sends in a step, and the seconds at the assumed link. disk:
    bytes of one checkpoint with its optimizer. host: bytes of memory of one node.
    """

    stage: Stage
    cards: Cards
    load: Load
    memory: Memory
    typical: Memory
    trainable: int
    accumulation: int
    tokens_per_step: int
    steps: int
    days: float
    sent: float
    sending_s: float
    disk: float
    host: float

    @property
    def fits(self) -> bool:
        """Whether the worst forward pass fits, fragmentation and driver included."""
        return self.memory.needed <= self.cards.bytes

    @property
    def spare_gb(self) -> float:
        """What is left of a card at the worst forward pass, GB."""
        return (self.cards.bytes - self.memory.needed) / GB


def plan_stage(
    config: TrainConfig,
    stage: Stage,
    cards: Cards,
    tflops: float | None = None,
    link_gb_s: float | None = None,
) -> StagePlan:
    """Raises ValueError when the global batch does not divide over the cards."""
    if config.model.size not in MODELS:
        raise ValueError(
            f"the plan knows the sizes {', '.join(MODELS)}; {config.name} takes that of its checkpoint"
        )
    model = MODELS[config.model.size]
    accumulation = config.accumulation(stage, cards.count)
    load = largest_load(config, stage)
    samples = stage.global_batch / (accumulation * cards.count)  # of a pass
    typical_positions = min(load.positions, math.ceil(samples * stage.mean_tokens))
    typical = Load(
        typical_positions,
        min(load.patches, math.ceil(samples * patches_of(stage))),
        min(load.visual_tokens, typical_positions),
        min(load.supervised, typical_positions),
    )
    tokens = stage.global_batch * stage.mean_tokens
    steps = stage.planned_steps()
    rate = tflops if tflops is not None else _sustained(cards.memory_gb)
    learning = trainable(model, stage.rates, config.lora)
    half = config.precision == "bf16"
    width = 2 if half else 4
    sent = exchanged(config.sharding, model.parameters, learning, accumulation, cards.count, width)
    sending_s = sent / (1e9 * (link_gb_s or link(cards.memory_gb, cards.nodes)))
    computing_s = _flops(model, config, stage, tokens) / (rate * 1e12 * cards.count)
    return StagePlan(
        stage=stage,
        cards=cards,
        load=load,
        memory=predict(config, stage, model, cards.count),
        typical=predict(config, stage, model, cards.count, typical),
        trainable=learning,
        accumulation=accumulation,
        tokens_per_step=tokens,
        steps=steps,
        days=steps * (computing_s + sending_s) / 86_400,
        sent=sent,
        sending_s=sending_s,
        disk=checkpoint_bytes(model, learning, config.sharding, half),
        host=host_bytes(model, learning, config.offload, cards.count, cards.nodes, width),
    )


def remedies(config: TrainConfig, stage: Stage, cards: Cards) -> list[tuple[str, float]]:
    """(what to change, GB per card it would then need) for every single change that makes the stage fit."""
    out = []
    for text, changed, changed_stage in _changes(config, stage):
        try:
            changed.accumulation(changed_stage, cards.count)
        except ValueError:
            continue
        need = predict(changed, changed_stage, MODELS[config.model.size], cards.count).needed
        if need <= cards.bytes:
            out.append((text, need / GB))
    return out


def compared(config: TrainConfig, plan: StagePlan) -> list[str]:
    """A line on ZeRO-1 against ZeRO-2 where the recipe takes one of them: what each needs, and how long it takes."""
    if config.sharding not in ("zero1", "zero2"):
        return []
    out = []
    fitting: dict[Sharding, float] = {}  # days of those that fit
    kinds: tuple[Sharding, ...] = ("zero1", "zero2")
    for kind in kinds:
        other = plan_stage(replace(config, sharding=kind), plan.stage, plan.cards)
        fits = "" if other.fits else ", does not fit"
        out.append(f"{kind} {other.memory.needed / GB:.1f} GB a card, {other.days:.1f} days{fits}")
        if other.fits:
            fitting[kind] = other.days
    best = min(fitting, key=fitting.__getitem__, default=config.sharding)
    advice = f": --sharding {best}" if best != config.sharding else ""
    return [f"{'; '.join(out)}{advice}"]


def patches_of(stage: Stage) -> int:
    """Patches of a typical sample; stills have as many as they have positions before merging."""
    return stage.mean_patches or stage.mean_tokens * stage.vision.image_merge_size**2


def _changes(config: TrainConfig, stage: Stage) -> Iterator[tuple[str, TrainConfig, Stage]]:
    order: tuple[Sharding, ...] = ("zero1", "zero2", "zero3")
    for sharding in order:
        if sharding != config.sharding:
            yield f"sharding {sharding}", replace(config, sharding=sharding), stage
    yield "zero3, optimizer on the CPU", replace(config, sharding="zero3", offload=True), stage
    for tokens in (8_192, 4_096, 2_048):
        if tokens < stage.vision.max_tokens:
            smaller = replace(
                stage, vision=replace(stage.vision, max_tokens=tokens), max_length=tokens * 3 // 2
            )
            yield f"at most {tokens} visual tokens a study (max_length {tokens * 3 // 2})", config, smaller
            frugal = replace(config, sharding="zero3")
            yield f"zero3 and at most {tokens} visual tokens a study", frugal, smaller
    if config.fill:
        for part in (2, 4):
            budgets = (config.token_budget // part, config.patch_budget // part)
            shorter = replace(stage, max_length=min(stage.max_length, budgets[0]))
            half = replace(config, token_budget=budgets[0], patch_budget=budgets[1])
            yield f"passes of {budgets[0]} positions and {budgets[1]} patches", half, shorter
    if config.micro_batch > 1:
        single = replace(
            config,
            micro_batch=1,
            token_budget=config.token_budget // config.micro_batch,
            patch_budget=config.patch_budget // config.micro_batch,
        )
        yield "micro_batch 1 and its share of the budgets", single, stage
    if config.lora is None and stage.rates.llm is not None:
        yield "LoRA on the language model", replace(config, lora=LoRA()), stage


def text(config: TrainConfig, plans: list[StagePlan]) -> str:
    """The plan as a page of text."""
    cards = plans[0].cards
    model = MODELS[config.model.size]
    title = f"{config.name} on {cards}"
    out = [title, f"{model.parameters:,} parameters, {config.sharding}, {config.precision}", ""]
    for plan in plans:
        m, fits = plan.memory, f"fits, {plan.spare_gb:.1f} GB to spare" if plan.fits else "DOES NOT FIT"
        pruning = "pruning off" if plan.stage.threshold is None else f"pruning at {plan.stage.threshold:g}"
        out += [
            f"{plan.stage.name}: {fits}",
            f"  trains {', '.join(plan.stage.rates.trained())} ({plan.trainable:,} parameters), {pruning}",
            f"  GB per card   weights {m.weights / GB:.2f}   gradients {m.gradients / GB:.2f}"
            f"   optimizer {m.optimizer / GB:.2f}   buckets {m.buckets / GB:.2f}"
            f"   activations {m.activations / GB:.2f}   logits {m.logits / GB:.2f}",
            f"  sum {m.total / GB:.1f}, with fragmentation and driver {m.needed / GB:.1f} of {cards.bytes / GB:.1f};"
            f" at a typical batch {plan.typical.total / GB:.1f}",
            f"  largest pass {plan.load.positions:,} positions and {plan.load.patches:,} patches; "
            f"{plan.tokens_per_step:,} positions a step, {plan.accumulation} passes accumulated",
            f"  {plan.steps:,} steps, about {plan.days:.1f} days; a card sends {plan.sent / GB:.1f} GB a step, "
            f"{plan.sending_s:.1f} s",
            f"  a checkpoint takes {plan.disk / GB:.1f} GB, the {config.keep_checkpoints} newest and the best "
            f"{(config.keep_checkpoints + 1) * plan.disk / GB:.0f} GB; a node needs {plan.host / GB:.0f} GB of memory",
        ]
        out += [f"  {line}" for line in compared(config, plan)]
        if not plan.fits:
            found = remedies(config, plan.stage, cards)
            out += (
                ["  change one of:"]
                if found
                else ["  no single change of ours makes it fit: take larger cards"]
            )
            out += [f"    {change}: {need:.1f} GB" for change, need in found]
        out.append("")
    rate = _sustained(cards.memory_gb)
    if cards.memory_gb <= 16 and config.precision == "bf16":
        out.append(
            "Many cards of 16 GB have no bf16, which this recipe needs: check yours before anything else."
        )
    out.append(
        f"Time assumes {rate:g} TFLOP/s sustained per card (an assumption; --tflops sets your own) and"
    )
    out.append(
        f"{link(cards.memory_gb, cards.nodes):g} GB/s between cards (an assumption; --link sets your own)."
    )
    out.append("Memory is computed for the worst forward pass, in which pruning removes nothing.")
    return "\n".join(out)


def _sustained(memory_gb: int) -> float:
    below = [size for size in SUSTAINED_TFLOPS if size <= memory_gb]
    return SUSTAINED_TFLOPS[max(below)] if below else 10.0


def _flops(model: Model, config: TrainConfig, stage: Stage, positions: int) -> float:
    """Per optimizer step. The embedding is a look-up and not counted."""
    language = model.language.parameters - model.language.vocab * model.language.hidden
    whole = stage.rates.llm is not None and config.lora is None
    flops = positions * language * float(FLOPS_TRAINED if whole else FLOPS_FROZEN)
    seen = FLOPS_TRAINED if stage.rates.encoder is not None else FLOPS_FORWARD
    return flops + stage.global_batch * patches_of(stage) * model.encoder.parameters * float(seen)
