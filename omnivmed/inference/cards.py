"""What a model's own card says before the model is loaded, and without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from omnivmed.errors import ModelError
from omnivmed.vision import DEFAULT_BUDGET, VisionBudget
from omnivmed.weights.names import read_config, resolve


@dataclass(frozen=True)
class Card:
    """budget: how many visual tokens a study may spend. follows: whether earlier turns are known to help.
    version: of the weights, where the card tells."""

    budget: VisionBudget = DEFAULT_BUDGET
    follows: bool = True
    version: str | None = None


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
        return Card()
    card = config.get("card")
    if source.kind != "nano" or not isinstance(card, dict):
        return Card(budget)
    version = config.get("version")
    return Card(budget, follows_of(card), version if isinstance(version, str) else None)


def title_of(name: str) -> str:
    """What a model is called where its version matters: "nano 1.1"; of a folder only its last part."""
    version = card_of(name).version
    return Path(name).name if version is None else f"{Path(name).name} {version}"


def follows_of(card: dict[str, object]) -> bool:
    """Whether nano's card says that earlier turns help it; a card that is silent has not measured it."""
    return card.get("follows") is True
