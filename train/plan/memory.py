"""Memory per card by part, in bytes.

States (weights, gradients, optimizer, buckets) are arithmetic. Activations are counted tensor by tensor for this
model with activation checkpointing: what every layer leaves behind, plus one layer recomputed. The counts were
taken from the allocator's record of real steps and are checked against it in `tests/train/plan`.
"""

from __future__ import annotations

from dataclasses import dataclass

from train.plan.sizes import PATCH_VALUES, Encoder, Language, Model
from train.recipes.config import LoRA, Rates, Sharding, Stage, TrainConfig

GB = 1e9
ENCODER_CHUNK = 8192
"""Patches that pass through the encoder's layers together (omnivmed.model.encoder.CHUNK_PATCHES)."""
REDUCE_BUCKET = 200_000_000
GATHER_BUCKET = 200_000_000
LIVE_PARAMETERS = 450_000_000
"""Elements of DeepSpeed's buckets as in train/launch/deepspeed/*.json; a test holds the two together."""
CONTEXT_BYTES = 1.0 * GB
"""Driver context and libraries on the card."""
FRAGMENTATION = 0.08
"""Share of the sum that the caching allocator may lose."""


@dataclass(frozen=True)
class Memory:
    """Bytes per card. activations: without logits; logits: of one chunk of supervised positions."""

    weights: float
    gradients: float
    optimizer: float
    buckets: float
    activations: float
    logits: float

    @property
    def states(self) -> float:
        """What stands through the whole run: weights, gradients, optimizer, buckets."""
        return self.weights + self.gradients + self.optimizer + self.buckets

    @property
    def total(self) -> float:
        """Peak of tensors."""
        return self.states + self.activations + self.logits

    @property
    def needed(self) -> float:
        """What a card must have: tensors, fragmentation and the driver's context."""
        return self.total * (1 + FRAGMENTATION) + CONTEXT_BYTES


@dataclass(frozen=True)
class Load:
    """The largest forward pass: positions in the language model, patches, visual tokens before pruning,
    supervised positions."""

    positions: int
    patches: int
    visual_tokens: int
    supervised: int


def largest_load(config: TrainConfig, stage: Stage) -> Load:
    """The worst forward pass that the budgets of this stage allow. Pruning is not counted on: a clip in which
    everything moves keeps every token."""
    vision = stage.vision
    positions = config.token_budget if config.fill else config.micro_batch * stage.max_length
    positions = min(config.token_budget, positions)
    visual = positions if config.fill else min(config.micro_batch * vision.max_tokens, positions)
    merge = max(vision.image_merge_size, vision.video_merge_size)
    patches = min(config.patch_budget, visual * merge**2)
    return Load(positions, patches, visual, min(config.loss_chunk, positions))


def trainable(model: Model, rates: Rates, lora: LoRA | None) -> int:
    """Parameters that learn."""
    count = sum(model.part(part) for part in rates.trained() if part != "llm")
    if rates.llm is not None:
        count += model.language.parameters if lora is None else model.language.lora_parameters(lora)
    return count


def states(
    parameters: int, learning: int, sharding: Sharding, cards: int, offload: bool = False, half: bool = True
) -> Memory:
    """Weights, gradients, optimizer and buckets per card.

    bf16: 2 bytes for a weight and a gradient, 12 for the fp32 master and two moments. fp32: 4, 4 and 8.
    FSDP2 shards 16 bytes per parameter all in all, as ZeRO-3 does.
    """
    width, moments = (2, 12) if half else (4, 8)
    whole = sharding in ("zero3", "fsdp2")
    weights = parameters * width / (cards if whole else 1)
    gradients = learning * width / (cards if whole or sharding == "zero2" else 1)
    optimizer = 0.0 if offload else learning * moments / (1 if sharding == "none" else cards)
    buckets = 0.0
    if sharding in ("zero1", "zero2"):
        buckets = (REDUCE_BUCKET + GATHER_BUCKET) * width
    elif whole:
        buckets = (REDUCE_BUCKET + LIVE_PARAMETERS) * width
    elif cards > 1:
        buckets = learning * width  # DDP keeps gradients in buckets of its own
    return Memory(weights, gradients, optimizer, buckets, 0.0, 0.0)


def language_layer(language: Language, half: bool) -> int:
    """Values per position alive while one layer is recomputed and run backward, at its MLP.

    Six of the MLP's width (gate, up, activation, product, and two gradients), eight of the hidden size, keys and
    values, six of the rotary tables. In bf16 the two norms also keep fp32 copies.
    """
    hidden = 12 if half else 8
    return hidden * language.hidden + 6 * language.mlp + 2 * language.kv + 6 * language.head_dim


def encoder_layer(encoder: Encoder, half: bool) -> int:
    """Values per patch alive while one encoder layer is recomputed and run backward.

    Positions are rotated in fp32, which bf16 pays for with two more of the hidden size.
    """
    hidden = 10 if half else 8
    return hidden * encoder.hidden + 3 * encoder.mlp


def activations(
    model: Model,
    load: Load,
    rates: Rates,
    *,
    half: bool = True,
    lora: LoRA | None = None,
    chunk: int = ENCODER_CHUNK,
) -> tuple[float, float]:
    """(activations, logits) in bytes at the worst moment of a step with activation checkpointing.

    Five moments are compared: the loss, the head backward, the language model's layers backward, its embedding,
    the encoder's layers backward. A tied embedding that trains holds the head's gradient from the loss until
    the embedding's own is there, and then both and their sum.
    """
    width = 2 if half else 4
    encoder, language = model.encoder, model.language
    encoder_learns = rates.encoder is not None
    vision_learns = encoder_learns or rates.projector is not None
    chunked = min(load.patches, chunk)

    kept_vision = load.patches * PATCH_VALUES * 4.0  # the pixels themselves, fp32
    if encoder_learns:
        kept_vision += load.patches * (encoder.layers + 1) * encoder.hidden * width
    if vision_learns:
        kept_vision += load.visual_tokens * (encoder.hidden + 2 * language.hidden) * width
    boundaries = load.positions * language.layers * language.hidden * width
    matrix = language.vocab * language.hidden * width
    whole_llm = rates.llm is not None and lora is None
    # Logits as computed, their logarithm in fp32 and two gradients: the head's output itself is released.
    logits = load.supervised * language.vocab * 12.0
    tied = matrix if whole_llm and language.tied else 0

    at_loss = boundaries + 2 * load.positions * language.hidden * width
    at_head = at_loss + matrix + load.supervised * language.vocab * width if whole_llm else 0.0
    at_layers = boundaries + load.positions * language_layer(language, half) * width + tied
    at_embedding = load.positions * language.hidden * width
    if whole_llm:
        at_embedding += (3 if language.tied else 1) * matrix
    at_encoder = chunked * encoder_layer(encoder, half) * width if encoder_learns else 0.0
    elsewhere = max(at_head, at_layers, at_embedding, at_encoder)
    if at_loss + logits >= elsewhere:
        return kept_vision + at_loss, logits
    return kept_vision + elsewhere, 0.0


def predict(config: TrainConfig, stage: Stage, model: Model, cards: int, load: Load | None = None) -> Memory:
    """Memory per card of one stage on `cards` cards, at the largest forward pass or at a given one."""
    half = config.precision == "bf16"
    learning = trainable(model, stage.rates, config.lora)
    extra = model.language.lora_parameters(config.lora) if config.lora else 0
    base = states(model.parameters + extra, learning, config.sharding, cards, config.offload, half)
    load = load or largest_load(config, stage)
    live, logits = activations(model, load, stage.rates, half=half, lora=config.lora)
    return Memory(base.weights, base.gradients, base.optimizer, base.buckets, live, logits)


def answering(model: Model, positions: int, patches: int, half: bool = True) -> Memory:
    """Memory of answering on one card: weights, keys and values of `positions`, the patches, and the larger of the
    encoder at work on a chunk of them and one layer of the language model over the whole prompt; logits of one place.
    """
    width = 2 if half else 4
    language, encoder = model.language, model.encoder
    cache = 2.0 * language.layers * language.kv * positions * width
    seen = patches * PATCH_VALUES * 4.0 + patches * encoder.hidden * width
    encoding = min(patches, ENCODER_CHUNK) * encoder_layer(encoder, half) * width
    reading = positions * language_layer(language, half) * width
    weights = model.parameters * float(width)
    return Memory(weights, 0.0, 0.0, 0.0, cache + seen + max(encoding, reading), language.vocab * 4.0)
