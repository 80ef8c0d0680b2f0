"""Model names → where the model is: "nano", a folder, or a hub id. Touches no network and imports no torch."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from omnivmed.errors import ModelError
from omnivmed.resources import nano_dir
from omnivmed.weights.manifest import cache_dir

NANO_FORMAT = "omnivmed-nano/1"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")

#: Public checkpoints of this architecture that the converter knows, for messages and the app's list.
PUBLIC = {
    "DAMO-NLP-SG/VideoLLaMA3-2B": "VideoLLaMA3 2B (general, not medical)",
    "DAMO-NLP-SG/VideoLLaMA3-7B": "VideoLLaMA3 7B (general, not medical)",
    "ZJU-AI4H/Hulu-Med-7B": "Hulu-Med 7B (medical)",
}


@dataclass(frozen=True)
class Source:
    """Where a model comes from: `folder` holds it (for a hub id: once it has been fetched)."""

    name: str
    kind: Literal["nano", "folder", "hub"]
    folder: Path


def nano_folder() -> Path:
    """The one that ships with the code (`omnivmed.resources`), or the folder that $OMNIVMED_NANO names."""
    if chosen := os.environ.get("OMNIVMED_NANO"):
        return Path(chosen).expanduser()
    return nano_dir()


def resolve(name: str) -> Source:
    """Find a model by name. Raises ModelError("Unsupported") when it can be none of the three."""
    if name == "nano":
        return Source("nano", "nano", nano_folder())
    folder = Path(name).expanduser()
    if name.strip() and folder.is_dir():
        nano = read_config(folder).get("format") == NANO_FORMAT
        return Source(folder.name or str(folder), "nano" if nano else "folder", folder)
    if _HUB_ID.fullmatch(name) and not folder.exists():
        return Source(name, "hub", cache_dir() / "hub" / name.replace("/", "--"))
    raise ModelError(
        "Unsupported",
        f'There is no model "{name}". Use nano, a folder with a model in it, or a hub id such as '
        f"{next(iter(PUBLIC))}.",
    )


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a model folder; empty when there is none. Raises ModelError when it is no JSON object."""
    path = folder / "config.json"
    if not path.is_file():
        return {}
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        config = None
    if not isinstance(config, dict):
        raise ModelError("Unsupported", "The config.json of this model cannot be read; it is no JSON object.")
    return config
