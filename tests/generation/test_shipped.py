"""The shipped drawing weights, on nano: they load, draw the same twice, and what they draw is recognised."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from omnivmed import weights
from omnivmed.generation.loading import config_of, load_parts
from omnivmed.resources import nano_draw_dir

FOLDER = nano_draw_dir()
SHARED = Path(os.environ.get("OMNIVMED_SHARED", "../shared")) / "data"
MOST_BYTES = 60_000_000
ASKED = {
    "Hand": "X-ray of the hand",
    "CXR": "chest X-ray",
    "HeadCT": "axial CT of the head",
    "BreastMRI": "breast MRI",
}

pytestmark = pytest.mark.skipif(not (FOLDER / "config.json").exists(), reason="no drawing weights here")


def test_the_folder_is_whole_and_small() -> None:
    config = config_of(FOLDER)
    assert config is not None
    assert config.base == "nano"
    load_parts(FOLDER, config)  # checksums, names and shapes
    listed = json.loads((FOLDER / "manifest.json").read_text())["files"]
    assert sum(entry["bytes"] for entry in listed.values()) < MOST_BYTES
    card = (FOLDER / "README.md").read_text()
    assert "not for clinical use" in card
    assert "license: cc-by-sa-4.0" in card


@pytest.mark.slow
def test_what_is_drawn_is_recognised_by_real_pictures() -> None:
    """Nearest mean of nano's encoder features, from 24 real pictures of each kind; eight drawn of each."""
    if not weights.is_cached():
        pytest.skip("needs the language backbone: python -m omnivmed weights fetch")
    if not (SHARED / "mednist/mednist_dev.zip").exists():
        pytest.skip("needs the data folder beside the repository")
    from train.draw.data.pictures import square
    from train.draw.measure.adherence import features, nano_encoder
    from train.draw.measure.speed import shipped
    from train.nano.data.bank import decode
    from train.nano.data.index import mednist

    vit, records = nano_encoder(), [r for r in mednist(SHARED) if r.split == "train"]
    means = {}
    for name in ASKED:
        members = [r for r in records if f"/{name}/" in r.id][::30][:24]
        means[name] = features(vit, np.stack([square(decode(SHARED, r).array) for r in members])).mean(0)
    pipe, right = shipped(FOLDER), 0
    for name, prompt in ASKED.items():
        made = [pipe.generate_image(prompt, seed=seed) for seed in range(8)]
        plain = np.stack([_shown(one.image, one.params["enlarged"]) for one in made])
        for row in features(vit, plain):
            right += min(means, key=lambda k: float((row - means[k]).square().sum())) == name
    again = pipe.generate_image(ASKED["Hand"], seed=3)
    assert again.png[:8] == b"\x89PNG\r\n\x1a\n"
    assert np.array_equal(again.image, pipe.generate_image(ASKED["Hand"], seed=3).image)
    assert right >= 24, f"{right} of 32 recognised; chance is 8"


def _shown(stamped: np.ndarray, enlarged: int) -> np.ndarray:
    """A stamped picture at the size at which it was drawn, without its band; the faint words stay."""
    side = stamped.shape[1]
    return np.asarray(cv2.resize(stamped[:side], (side // enlarged,) * 2, interpolation=cv2.INTER_AREA))
