"""The cache of converted weights, and the sha256 sums that every folder of weights is trusted by."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from omnivmed.errors import ModelError

MANIFEST = "manifest.json"
LAYOUT = 1  # raised when the converter writes something else than before
FETCH_COMMAND = "python -m omnivmed weights fetch"


def cache_dir() -> Path:
    """Folder of converted weights: $OMNIVMED_CACHE, else `omnivmed` in the platform's user cache."""
    if chosen := os.environ.get("OMNIVMED_CACHE"):
        return Path(chosen).expanduser()
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "omnivmed"


def file_sha256(path: Path) -> str:
    """sha256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_manifest(folder: Path, names: Iterable[str], **facts: Any) -> dict[str, Any]:
    """Write `manifest.json` with size and sha256 of each named file of `folder`, and further facts."""
    files = {n: {"bytes": (folder / n).stat().st_size, "sha256": file_sha256(folder / n)} for n in names}
    manifest = {"layout": LAYOUT, **facts, "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return manifest


def verify_folder(
    folder: Path, required: Iterable[str] = (), advice: str = f"Remove it and run: {FETCH_COMMAND}"
) -> dict[str, Any]:
    """Check every file the manifest names, and return the manifest.

    advice: the sentence at the end of every error, what to do. Raises ModelError: WeightsMissing when there is
    no manifest or a file is absent, ChecksumMismatch when a file differs, is not named in the manifest though
    `required`, or the manifest itself is damaged.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ModelError("WeightsMissing", f"There are no weights of this model here. {advice}")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        listed = {str(name): str(entry["sha256"]) for name, entry in manifest["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ModelError("ChecksumMismatch", f"The list of checksums is damaged. {advice}") from None
    if any(Path(name).name != name for name in listed):
        raise ModelError("ChecksumMismatch", f"The list of checksums names a foreign folder. {advice}")
    if missing := [name for name in required if name not in listed]:
        raise ModelError("ChecksumMismatch", f"{missing[0]} has no checksum in the manifest. {advice}")
    for name, expected in listed.items():
        if not (folder / name).is_file():
            raise ModelError("WeightsMissing", f"The weight file {name} is missing. {advice}")
        if file_sha256(folder / name) != expected:
            raise ModelError(
                "ChecksumMismatch", f"The weight file {name} is damaged or was changed. {advice}"
            )
    return dict(manifest)
