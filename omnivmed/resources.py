"""Where the files that ship with the code are: nano's weights and the sample studies.

In the repository they stand in `assets/` beside the package; a wheel carries the same files inside the package
(`[tool.hatch.build.targets.wheel.force-include]` in pyproject.toml). Everybody asks here, so that a checkout, an
editable installation and a wheel are one case.
"""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def assets_dir() -> Path:
    """Folder with `nano/`, `samples/` and `SOURCES.md`: `omnivmed/assets` of a wheel, else the repository's `assets`.

    It always is a real folder on disk (weights are mapped, studies are opened by a worker process), never a member of
    an archive. Nothing is checked: who reads a file says what is missing.
    """
    inside = PACKAGE / "assets"
    return inside if inside.is_dir() else PACKAGE.parent / "assets"


def samples_dir() -> Path:
    """Folder of the sample studies; where each comes from stands in `SOURCES.md` beside it."""
    return assets_dir() / "samples"


def nano_dir() -> Path:
    """Folder of the trained part of the embedded model."""
    return assets_dir() / "nano"


def nano_draw_dir() -> Path:
    """Folder of the drawing expert of the embedded model; empty or absent where it does not draw."""
    return assets_dir() / "nano_draw"
