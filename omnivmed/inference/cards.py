"""What a model's own card says before the model is loaded, and without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omnivmed.errors import ModelError
from omnivmed.spoken.attributes import ATTRIBUTES
from omnivmed.spoken.reply import Knows
from omnivmed.vision import DEFAULT_BUDGET, VisionBudget
from omnivmed.weights.names import read_config, resolve


@dataclass(frozen=True)
class Card:
    """budget: how many visual tokens a study may spend. follows: whether earlier turns are known to help.
    version: of the weights, where the card tells. knows: what it may be asked, for the answers that need no model."""

    budget: VisionBudget = DEFAULT_BUDGET
    follows: bool = True
    version: str | None = None
    knows: Knows = field(default_factory=Knows)


def card_of(name: str) -> Card:
    """The card of a model by name, folder or hub id; that of the public checkpoints where nothing can be known yet.

    Raises nothing: what is wrong with a model is said when it is loaded.
    """
    try:
        source = resolve(name)
        config = read_config(source.folder)
        budget = (
            VisionBudget(**config["budget"]) if isinstance(config.get("budget"), dict) else DEFAULT_BUDGET
        )
    except (ModelError, TypeError):
        return Card(knows=Knows(Path(name).name))
    card = config.get("card")
    if source.kind != "nano" or not isinstance(card, dict):
        return Card(budget, knows=Knows(Path(name).name))
    version = config.get("version")
    return Card(
        budget,
        follows_of(card),
        version if isinstance(version, str) else None,
        knows_of(Path(name).name, card),
    )


def title_of(name: str) -> str:
    """What a model is called where its version matters: "nano 1.1"; of a folder only its last part."""
    version = card_of(name).version
    return Path(name).name if version is None else f"{Path(name).name} {version}"


def knows_of(name: str, card: Mapping[str, Any]) -> Knows:
    """What a model may be asked, by its card: every attribute that is not ``silent`` (no better than guessing) or
    ``narrow`` (tested on one value alone, so that a right answer says nothing)."""
    kinds = ("image", "volume", "video")
    held = {k: {*card.get("silent", {}).get(k, ()), *card.get("narrow", {}).get(k, ())} for k in kinds}
    spoken = {kind: tuple(a for a in ATTRIBUTES if a not in held[kind]) for kind in kinds}
    return Knows(name, str(card.get("description", "")), str(card.get("trust", "")), spoken)


def follows_of(card: dict[str, object]) -> bool:
    """Whether nano's card says that earlier turns help it; a card that is silent has not measured it."""
    return card.get("follows") is True
