"""Nano and the samples are found by one function, in a checkout and in a wheel."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omnivmed import resources
from omnivmed.ui.visit.samples import SAMPLES
from omnivmed.weights.names import nano_folder

ROOT = Path(__file__).resolve().parents[1]


def test_a_checkout_uses_its_own_assets() -> None:
    assert resources.assets_dir() == ROOT / "assets"
    assert (resources.assets_dir() / "SOURCES.md").is_file()
    assert all(sample.path.is_file() and sample.thumbnail.is_file() for sample in SAMPLES)


def test_nano_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMNIVMED_NANO", raising=False)
    listed = json.loads((nano_folder() / "manifest.json").read_text(encoding="utf-8"))["files"]
    assert all((nano_folder() / name).stat().st_size == entry["bytes"] for name, entry in listed.items())


def test_a_folder_in_the_package_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site-packages" / "omnivmed"
    (package / "assets" / "nano").mkdir(parents=True)
    (tmp_path / "site-packages" / "assets").mkdir()
    monkeypatch.setattr(resources, "PACKAGE", package)
    monkeypatch.delenv("OMNIVMED_NANO", raising=False)
    assert nano_folder() == package / "assets" / "nano"
    assert SAMPLES[0].path == package / "assets" / "samples" / "chest_xray.dcm"


def test_nano_is_called_the_same_everywhere() -> None:
    """Card, config and manifest name one version: `doctor` prints the config's, people read the card's."""
    card = (resources.nano_dir() / "README.md").read_text(encoding="utf-8")
    written = (resources.nano_dir() / "config.json").read_text(encoding="utf-8")
    config = json.loads(written)
    manifest = json.loads((resources.nano_dir() / "manifest.json").read_text(encoding="utf-8"))
    assert f"\n# nano {config['version']}\n" in card
    assert f"nano {config['version']}, a very small teaching model" in written
    assert manifest["version"] == config["version"]
