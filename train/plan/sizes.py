"""Parameter counts by part, from the dimensions alone: no torch, no weights."""

from __future__ import annotations

from dataclasses import dataclass

from train.recipes.config import LoRA, Size

PATCH_VALUES = 588
"""3 colours x 14 x 14 pixels."""


@dataclass(frozen=True)
class Encoder:
    """SigLIP-type encoder: hidden size, MLP size, layers, heads."""

    hidden: int
    mlp: int
    layers: int
    heads: int

    @property
    def parameters(self) -> int:
        """Weights of the vision encoder, biases and norms included."""
        h, m = self.hidden, self.mlp
        block = 4 * (h * h + h) + (h * m + m) + (m * h + h) + 4 * h
        return (PATCH_VALUES * h + h) + self.layers * block + 2 * h


@dataclass(frozen=True)
class Language:
    """Qwen2-type language model; biases on q, k and v. tied: head and embedding are one matrix."""

    hidden: int
    mlp: int
    layers: int
    heads: int
    kv_heads: int
    vocab: int
    tied: bool

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden // self.heads

    @property
    def kv(self) -> int:
        """Width of keys (and of values)."""
        return self.kv_heads * self.head_dim

    @property
    def parameters(self) -> int:
        """Weights of the language model; a tied head counts once."""
        h, kv = self.hidden, self.kv
        block = (h * h + h) + 2 * (h * kv + kv) + h * h + 3 * h * self.mlp + 2 * h
        return (1 if self.tied else 2) * self.vocab * h + self.layers * block + h

    def lora_parameters(self, lora: LoRA) -> int:
        """Adapters on the seven linear layers of every block."""
        h, kv, m = self.hidden, self.kv, self.mlp
        edges = (h + h) + 2 * (h + kv) + (h + h) + 3 * (h + m)
        return self.layers * lora.r * edges


@dataclass(frozen=True)
class Model:
    """Encoder, projector (two linear layers with biases), language model."""

    encoder: Encoder
    language: Language

    @property
    def projector_parameters(self) -> int:
        """Weights of the two-layer projector."""
        v, h = self.encoder.hidden, self.language.hidden
        return (v * h + h) + (h * h + h)

    @property
    def parameters(self) -> int:
        """Weights of all three parts."""
        return self.encoder.parameters + self.projector_parameters + self.language.parameters

    def part(self, name: str) -> int:
        """Parameters of "llm", "projector" or "encoder"."""
        return {
            "llm": self.language.parameters,
            "projector": self.projector_parameters,
            "encoder": self.encoder.parameters,
        }[name]


SO400M = Encoder(1152, 4304, 27, 16)
MODELS: dict[Size, Model] = {
    "tiny": Model(Encoder(48, 96, 2, 4), Language(64, 128, 2, 4, 2, 512, True)),
    "1.5b": Model(SO400M, Language(1536, 8960, 28, 12, 2, 151_936, True)),
    "7b": Model(SO400M, Language(3584, 18_944, 28, 28, 4, 152_064, False)),
}
