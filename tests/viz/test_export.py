"""Every format comes back as it was written, and says nothing about the file it came from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from omnivmed import __version__
from omnivmed.pruning import prune
from omnivmed.study import Study
from omnivmed.viz import write_overlay
from tests.phantoms import clip_study, ct_study, radiograph


def test_png_of_an_image_and_of_a_volume(tmp_path: Path) -> None:
    image = Study.from_array(radiograph(), kind="image", modality="DX")
    for name, study in (("image", image), ("volume", ct_study())):
        write_overlay(tmp_path / f"{name}.png", study, prune(study))
        with Image.open(tmp_path / f"{name}.png") as png:
            assert png.size[0] > 100
            assert "tokens kept" in png.info["Description"]


def test_mp4_has_one_frame_per_sampled_frame(tmp_path: Path) -> None:
    import av

    study = clip_study(40)
    mask = prune(study)
    write_overlay(tmp_path / "clip.mp4", study, mask)
    with av.open(str(tmp_path / "clip.mp4")) as box:
        assert sum(1 for _ in box.decode(video=0)) == len(mask.frame_index)


def test_every_file_names_model_threshold_window_and_version(tmp_path: Path) -> None:
    import av

    study = ct_study()
    mask = prune(study)
    for suffix in ("png", "mp4", "gif"):
        write_overlay(tmp_path / f"overlay.{suffix}", study, mask, model="nano")
    with Image.open(tmp_path / "overlay.png") as png:
        told = [json.loads(png.info["OmniV-Med"])]
    with av.open(str(tmp_path / "overlay.mp4")) as box:
        told.append(json.loads(box.metadata["comment"]))
    with Image.open(tmp_path / "overlay.gif") as gif:
        assert getattr(gif, "n_frames", 1) == len(mask.frame_index)
        assert gif.width >= 480
        told.append(json.loads(gif.info["comment"]))
    for facts in told:
        assert facts["model"] == "nano"
        assert (facts["threshold"], facts["version"]) == (mask.threshold, __version__)
        assert mask.window is not None
        assert facts["window"] == list(mask.window)


def test_json_and_npz(tmp_path: Path) -> None:
    study = ct_study()
    mask = prune(study)
    write_overlay(tmp_path / "mask.json", study, mask)
    write_overlay(tmp_path / "mask.npz", study, mask)
    data = json.loads((tmp_path / "mask.json").read_text())
    assert data["kept"] == mask.kept
    with np.load(tmp_path / "mask.npz") as arrays:
        assert np.array_equal(arrays["keep"], mask.keep)
        assert np.array_equal(arrays["distance"], mask.distance)
        assert json.loads(str(arrays["facts"]))["threshold"] == 0.1


@pytest.mark.parametrize("name", ["mask.exe", "mask"])
def test_other_suffixes_are_named(tmp_path: Path, name: str) -> None:
    study = ct_study()
    with pytest.raises(ValueError, match=r"\.png"):
        write_overlay(tmp_path / name, study, prune(study))
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_behind_when_writing_fails(tmp_path: Path) -> None:
    study = ct_study()
    mask = prune(clip_study(8))  # belongs to another picture
    with pytest.raises(ValueError, match="belongs to"):
        write_overlay(tmp_path / "wrong.png", study, mask)
    assert list(tmp_path.iterdir()) == []
