"""What a drawing expert is built from. One class of expert: these numbers decide whether it is narrow or full width.

Read from `config.json` of a folder of weights by a closed schema: a key that is not known is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from omnivmed.errors import ModelError

FORMAT = "omnivmed-draw/1"


@dataclass(frozen=True)
class AutoencoderConfig:
    """Pictures to latents and back.

    side: pixels of a picture's edge. patch: pixels of a latent cell's edge. channels: numbers of a cell.
    power: how far the channels are brought to one spread, 0 not at all, 1 fully. widths, blocks: of the decoder, from
    the latent grid upwards, each stage at twice the grid of the one before.
    """

    side: int = 128
    patch: int = 8
    channels: int = 12
    power: float = 0.5
    widths: tuple[int, ...] = (192, 96, 48)
    blocks: tuple[int, ...] = (3, 2, 2)

    @property
    def grid(self) -> int:
        """Latent cells along an edge."""
        return self.side // self.patch


@dataclass(frozen=True)
class ExpertConfig:
    """The generation expert beside a language model.

    layers: the language model's layers whose keys and values are read, one expert layer for each. heads, groups,
    head_dim: of the language model, for attention is shared. width, mlp: the expert's own. latent_patch: cells of a
    token's edge. modulation: "add" puts the time on the token (BAGEL), "adaln" lets it scale and shift every layer.
    pooled: the modulation sees the mean of the prefix's values as well. qk_norm: RMS norm on queries and keys.
    condition: how a picture to be changed comes in: "channels" on the token at its place, "tokens" as clean tokens of
    their own before the noise. local: a depthwise convolution over the token grid before every MLP: neighbours
    agree before attention has learnt where they are. eps: of the RMS norms.
    """

    layers: tuple[int, ...]
    heads: int = 9
    groups: int = 3
    head_dim: int = 64
    width: int = 256
    mlp: int = 768
    latent_channels: int = 12
    latent_grid: int = 16
    latent_patch: int = 2
    modulation: Literal["add", "adaln"] = "adaln"
    pooled: bool = True
    qk_norm: bool = True
    condition: Literal["channels", "tokens"] = "channels"
    local: bool = True
    eps: float = 1e-5
    rope_theta: float = 100000.0

    @property
    def tokens(self) -> int:
        """Latent tokens of a picture."""
        return (self.latent_grid // self.latent_patch) ** 2

    @property
    def token_dim(self) -> int:
        """Numbers of a latent token."""
        return self.latent_channels * self.latent_patch**2


@dataclass(frozen=True)
class EditorConfig:
    """An editing expert: a picture and a prompt's keys and values to the changed picture, in one step.

    reads: which of the prefix's layers its layers attend to, by their number in it. prefix_layers, heads, groups,
    head_dim: of the prefix. widths, blocks: at every scale, from the folded picture downwards, each at half the grid
    of the one before; the last width is that of the attending layers. fold: pixels of an edge that the first scale
    takes as channels. mlp: of the attending layers. spread: what one unit of the output stands for, in pixels of
    [-1, 1].
    """

    reads: tuple[int, ...] = (1, 3, 5)
    prefix_layers: int = 8
    heads: int = 9
    groups: int = 3
    head_dim: int = 64
    side: int = 128
    fold: int = 4
    widths: tuple[int, ...] = (64, 128, 256)
    blocks: tuple[int, ...] = (3, 2, 0)
    mlp: int = 512
    spread: float = 0.2
    lets_through: Literal["both", "darker"] = "both"
    eps: float = 1e-5
    rope_theta: float = 100000.0

    @property
    def layer(self) -> ExpertConfig:
        """Of one attending layer."""
        grid = self.side // self.fold >> (len(self.widths) - 1)
        return ExpertConfig(
            layers=self.reads,
            heads=self.heads,
            groups=self.groups,
            head_dim=self.head_dim,
            width=self.widths[-1],
            mlp=self.mlp,
            latent_grid=grid,
            latent_patch=1,
            modulation="add",
            eps=self.eps,
            rope_theta=self.rope_theta,
        )


@dataclass(frozen=True)
class DrawConfig:
    """`config.json` of a folder of drawing weights.

    base: name of the understanding model whose keys and values the expert was trained on. card: what it can draw and
    what it must not be trusted with, for people and for the page. editors: of each task that changes a picture and
    has an expert of its own.
    """

    version: str
    base: str
    autoencoder: AutoencoderConfig
    expert: ExpertConfig
    card: Mapping[str, Any] = field(default_factory=dict)
    editors: Mapping[str, EditorConfig] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The value that `parse` reads."""
        return {"format": FORMAT, **asdict(self)}


def parse(values: Mapping[str, Any]) -> DrawConfig:
    """A configuration from JSON. Raises ModelError("Unsupported") for another format or an unknown or missing key."""
    try:
        if values["format"] != FORMAT:
            raise KeyError("format")
        known = {"format", *(f.name for f in fields(DrawConfig))}
        if unknown := sorted(set(values) - known):
            raise KeyError(unknown[0])
        return DrawConfig(
            version=str(values["version"]),
            base=str(values["base"]),
            autoencoder=_part(AutoencoderConfig, values["autoencoder"]),
            expert=_part(ExpertConfig, values["expert"]),
            card=dict(values["card"]),
            editors={
                str(task): _part(EditorConfig, one) for task, one in dict(values.get("editors", {})).items()
            },
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            "Unsupported", f"The configuration of the drawing weights does not fit this program ({error})."
        ) from None


def _part(kind: type[Any], values: Mapping[str, Any]) -> Any:
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
