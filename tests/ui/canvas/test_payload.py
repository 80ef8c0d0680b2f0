"""Payloads: what is packed can be unpacked, says what it is, and carries nothing it should not."""

from __future__ import annotations

import gzip
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnivmed.io import open_study
from omnivmed.pruning import keep_mask
from omnivmed.study import Study
from omnivmed.ui.canvas import payload
from omnivmed.ui.canvas.container import payload_path, unpack
from omnivmed.ui.canvas.payload import display_order, pack_mask, pack_pixels, pack_study
from omnivmed.ui.canvas.planes import plane_specs
from omnivmed.vision import NANO_BUDGET, prepare
from tests import phantoms
from tests.browser.viewer_harness import orientation_volume
from tests.io.makers import ct_slice, dicom_bytes, put, zip_bytes

AXIAL = np.array([[0, 0, -1, 20], [0, -1, 0, 15], [3, 0, 0, -10], [0, 0, 0, 1]], float)


def volume(values: np.ndarray | None = None, **kwargs: object) -> Study:
    values = orientation_volume() if values is None else values
    facts: dict[str, Any] = {
        "spacing_mm": (3.0, 1.0, 1.0),
        "modality": "CT",
        "window": (100, 400),
        "affine": AXIAL,
    }
    return Study.from_array(values, "volume", **(facts | kwargs))


def test_voxels_come_back_exactly_in_sending_order(tmp_path: Path) -> None:
    study = volume(slope=2.0, intercept=-5.0)
    info = pack_study(study, None, tmp_path / "a.omv")
    header, arrays = unpack(info.path)
    stored = np.empty_like(orientation_volume())
    stored[header["order"]] = arrays["voxels"]
    assert stored.dtype == np.int16
    np.testing.assert_array_equal(stored, orientation_volume())
    assert (header["slope"], header["intercept"], header["exact"], header["scale"]) == (2.0, -5.0, True, 1)
    np.testing.assert_allclose(stored * header["slope"] + header["intercept"], study.values())


def test_header_states_the_facts_the_viewer_shows(tmp_path: Path) -> None:
    header, _ = unpack(pack_study(volume(), None, tmp_path / "a.omv").path)
    expected = {
        "format": "study",
        "version": 1,
        "kind": "volume",
        "display": "voxels",
        "shape": [10, 40, 48],
        "source_shape": [10, 40, 48],
        "spacing_mm": [3.0, 1.0, 1.0],
        "window": [100.0, 400.0],
        "unit": "HU",
        "modality": "CT",
        "plane": "axial",
        "inverted": False,
    }
    assert {k: header[k] for k in expected} == expected
    assert header["order"] == display_order(10) == [5, 6, 4, 7, 3, 8, 2, 9, 1, 0]
    assert ["soft tissue", 40.0, 400.0] in header["presets"]


def test_every_array_is_aligned_and_inside_the_data(tmp_path: Path) -> None:
    study = volume()
    mask = keep_mask(prepare(study, NANO_BUDGET))
    header, _ = unpack(pack_study(study, mask, tmp_path / "a.omv").path)
    for spec in header["arrays"].values():
        assert spec["offset"] % 16 == 0
        assert spec["offset"] + spec["bytes"] <= header["data_bytes"]
    voxels = header["arrays"]["voxels"]["offset"]
    assert all(a["offset"] <= voxels for a in header["arrays"].values()), (
        "the mask is there before the picture"
    )


def test_mask_comes_back(tmp_path: Path) -> None:
    study = volume()
    patches = prepare(study, NANO_BUDGET)
    mask = keep_mask(patches, 0.03, "last_kept")
    header, arrays = unpack(pack_mask(mask, tmp_path / "m.omv", content_id=study.content_id).path)
    assert header["content_id"] == study.content_id
    assert header["mask"]["threshold"] == 0.03
    assert header["mask"]["reference"] == "last_kept"
    assert (header["mask"]["kept"], header["mask"]["total"]) == (mask.kept, mask.total)
    np.testing.assert_array_equal(arrays["mask.keep"], mask.keep)
    np.testing.assert_array_equal(arrays["mask.distance"], mask.distance)
    np.testing.assert_array_equal(arrays["mask.run_length"], mask.run_length)
    np.testing.assert_array_equal(arrays["mask.rects"], mask.rects)
    np.testing.assert_array_equal(arrays["mask.frame_index"], mask.frame_index)


@pytest.mark.parametrize("grey", [True, False])
def test_pixels_are_the_models_own(tmp_path: Path, grey: bool) -> None:
    study = volume() if grey else phantoms.clip_study()
    patches = prepare(study, NANO_BUDGET)
    header, arrays = unpack(pack_pixels(patches, tmp_path / "p.omv").path)
    assert header["channels"] == (1 if grey else 3)
    t, h, w = patches.token_grid
    values = arrays["pixels"].astype(np.float32)
    assert values.shape[:2] == (t, h * w)
    got = np.abs(np.diff(values, axis=0)).mean(axis=2) / 127.5
    np.testing.assert_allclose(got.reshape(t - 1, h, w), keep_mask(patches).distance[1:], atol=1e-5)


def test_names_and_bytes_are_unguessable(tmp_path: Path) -> None:
    a, b = payload_path(tmp_path, "study"), payload_path(tmp_path, "study")
    assert a.name != b.name
    assert len(a.stem.split("-")[1]) == 32
    pack_study(volume(), None, a)
    pack_study(volume(), None, b)
    assert a.read_bytes() != b.read_bytes(), (
        "Gradio's address is a hash of the content: a nonce must be inside"
    )


def test_large_volumes_are_averaged_to_fit(tmp_path: Path) -> None:
    values = np.repeat(np.repeat(np.arange(4 * 9 * 10).reshape(4, 9, 10), 2, 1), 2, 2).astype(np.int16)
    study = volume(values)
    header, arrays = unpack(pack_study(study, None, tmp_path / "a.omv", max_bytes=values.nbytes // 3).path)
    assert header["scale"] == 2
    assert header["exact"] is False
    assert header["shape"] == [4, 9, 10]
    assert header["source_shape"] == [4, 18, 20]
    got = np.empty((4, 9, 10))
    got[header["order"]] = arrays["voxels"]
    np.testing.assert_array_equal(got, values[:, ::2, ::2])


def test_ragged_edges_are_averaged_over_what_there_is() -> None:
    out = payload._shrink(np.array([[[1, 3, 9], [1, 3, 9], [5, 5, 7]]], np.float32), 2)
    np.testing.assert_array_equal(out, [[[2, 9], [5, 7]]])


def test_wide_types_are_quantised_and_say_so(tmp_path: Path) -> None:
    values = np.linspace(-3.0, 70000.0, 2 * 8 * 8, dtype=np.float32).reshape(2, 8, 8)
    study = volume(values, modality="MR", window=(35000, 70000))
    header, arrays = unpack(pack_study(study, None, tmp_path / "a.omv").path)
    got = np.empty((2, 8, 8))
    got[header["order"]] = arrays["voxels"] * header["slope"] + header["intercept"]
    assert header["exact"] is False
    np.testing.assert_allclose(got, values, atol=70003 / 65535)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_whole_numbers_in_wide_types_lose_nothing(tmp_path: Path, dtype: type) -> None:
    values: np.ndarray = orientation_volume().astype(dtype) - 1024
    header, arrays = unpack(pack_study(volume(values), None, tmp_path / "a.omv", compress=False).path)
    got = np.empty(values.shape)
    got[header["order"]] = arrays["voxels"] * header["slope"] + header["intercept"]
    assert header["exact"] is True
    np.testing.assert_array_equal(got, values)


def test_not_a_number_is_sent_as_the_lowest(tmp_path: Path) -> None:
    values = np.linspace(0.5, 9.5, 32, dtype=np.float32).reshape(2, 4, 4)
    values[0, 0, 0] = np.nan
    header, arrays = unpack(pack_study(volume(values, window=(5, 10)), None, tmp_path / "a.omv").path)
    got = np.empty(values.shape)
    got[header["order"]] = arrays["voxels"] * header["slope"] + header["intercept"]
    assert got[0, 0, 0] == pytest.approx(values[np.isfinite(values)].min())


def test_colour_stills_are_lossless(tmp_path: Path) -> None:
    import cv2

    picture = phantoms.moving_clip()[3]
    header, arrays = unpack(pack_study(Study.from_array(picture, "image"), None, tmp_path / "a.omv").path)
    assert header["picture_type"] == "image/png"
    decoded = np.asarray(cv2.imdecode(arrays["pictures"], cv2.IMREAD_COLOR))[..., ::-1]
    np.testing.assert_array_equal(decoded, picture)


def test_long_clips_travel_as_their_sampled_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import cv2

    monkeypatch.setattr(payload, "CLIP_PIXELS", 10 * 84 * 112)
    study = phantoms.clip_study(20)
    mask = keep_mask(prepare(study, NANO_BUDGET))
    header, arrays = unpack(pack_study(study, mask, tmp_path / "a.omv").path)
    assert header["picture_index"] == mask.frame_index.tolist()
    assert len(header["picture_ends"]) == len(mask.frame_index) < 20
    start = header["picture_ends"][0]
    sent = arrays["pictures"][start : header["picture_ends"][1]]
    second = np.asarray(cv2.imdecode(sent, cv2.IMREAD_COLOR))[..., ::-1]
    expected = phantoms.moving_clip()[mask.frame_index[1]]
    assert np.abs(second.astype(int) - expected).mean() < 3


def test_rejects_what_is_not_ours(tmp_path: Path) -> None:
    path = tmp_path / "x.omv"
    path.write_bytes(gzip.compress(b"something else, long enough"))
    with pytest.raises(ValueError, match="magic"):
        unpack(path)


def test_only_technical_facts_travel(tmp_path: Path) -> None:
    header, _ = unpack(pack_study(volume(), None, tmp_path / "a.omv").path)
    allowed = {
        *(
            "format",
            "version",
            "nonce",
            "content_id",
            "kind",
            "source_shape",
            "shape",
            "spacing_mm",
            "spacing_at",
            "labels",
            "background",
            "window",
        ),
        *(
            "presets",
            "inverted",
            "unit",
            "modality",
            "body_part",
            "plane",
            "warnings",
            "notes",
            "affine",
            "planes",
        ),
        *("aspect", "slice_index", "ladder"),
        *("display", "scale", "order", "slope", "intercept", "exact", "data_bytes", "arrays"),
    }
    assert set(header) <= allowed


# ------------------------------------------------------------------------------------------- planes


def screen(values: np.ndarray, spec: dict[str, Any], index: int) -> np.ndarray:
    """The plane as it must appear on the screen, by numpy."""
    plane: np.ndarray = np.take(values, index, axis=spec["axis"])
    if spec["down"] > spec["across"]:
        plane = plane.T
    if spec["flip_down"]:
        plane = plane[::-1]
    return plane[:, ::-1] if spec["flip_across"] else plane


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_three_planes_follow_radiological_habit(plane: str) -> None:
    """Whatever the acquisition plane: head up, else front up; the patient's right (or front) on the left."""
    # index (slice, row, column) -> RAS for studies turned to radiological display.
    columns = {
        "axial": ([0, 0, 3], [0, -1, 0], [-1, 0, 0]),
        "coronal": ([0, -3, 0], [0, 0, -1], [-1, 0, 0]),
        "sagittal": ([-3, 0, 0], [0, 0, -1], [0, -1, 0]),
    }[plane]
    affine = np.eye(4)
    affine[:3, :3] = np.array(columns, float).T
    study = volume(affine=affine)
    specs = plane_specs(study)
    assert {s["name"] for s in specs} == {"axial", "coronal", "sagittal"}
    assert specs[0]["name"] == plane
    expected = {"axial": list("RLAP"), "coronal": list("RLSI"), "sagittal": list("APSI")}
    for spec in specs:
        assert spec["letters"] == expected[spec["name"]], spec


def test_no_orientation_no_letters() -> None:
    specs = plane_specs(volume(affine=None))
    assert [s["letters"] for s in specs] == [None, None, None]
    assert [s["name"] for s in specs] == [None, None, None]


def test_stills_have_one_plane() -> None:
    assert len(plane_specs(Study.from_array(phantoms.radiograph()[0], "image"))) == 1


def test_transcoded_clip_has_every_frame_at_one_rate(tmp_path: Path) -> None:
    import av
    import cv2

    from omnivmed.ui.canvas.transcode import constant_rate, transcode

    study = phantoms.clip_study(20, fps=10.0)
    seen: list[tuple[int, int]] = []
    # In a thread of its own, as in the app: it lowers the priority of the thread it runs in.
    with ThreadPoolExecutor(1) as pool:
        tell = lambda done, total: seen.append((done, total))  # noqa: E731
        clip = pool.submit(transcode, study, tmp_path / "c.mp4", progress=tell).result()
        half = pool.submit(transcode, study, tmp_path / "d.mp4", stopped=lambda: True).result()
    assert half is None
    assert clip is not None
    assert (clip.frames, clip.fps, seen[-1]) == (20, 10.0, (20, 20))
    with av.open(str(clip.path)) as file:
        assert file.metadata.get("title") is None
        frames: Any = file.decode(video=0)
        pictures = [(f.pts * f.time_base * clip.fps, f.to_ndarray(format="rgb24")) for f in frames]
    assert [round(float(t), 6) for t, _ in pictures] == list(range(20))
    for (_, got), expected in zip(pictures, phantoms.moving_clip(), strict=True):
        assert np.abs(cv2.resize(got, (112, 84)).astype(int) - expected).mean() < 6
    assert not (tmp_path / "d.mp4").exists()
    assert constant_rate(np.array([0.0, 0.04, 0.08]), 3) == 25
    assert constant_rate(None, 3) == 25


def test_a_clip_that_is_closed_meanwhile_ends_the_conversion_in_silence(tmp_path: Path) -> None:
    from omnivmed.ui.canvas.transcode import transcode

    study = phantoms.clip_study(60)
    asked: list[bool] = []

    def gone() -> bool:
        asked.append(True)
        return len(asked) > 1

    def close(done: int, total: int) -> None:
        study.close()

    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(transcode, study, tmp_path / "c.mp4", progress=close, stopped=gone)
        assert ended.result() is None
    assert list(tmp_path.iterdir()) == []


def test_uneven_stacks_are_resliced_by_their_true_places(tmp_path: Path) -> None:
    """A head scan of 56 mm with one short step: its coronal plane is 56 mm high, and every row the nearest slice."""
    heights = [0, 1.08, *(5 + 4.25 * k for k in range(13))]
    members = {f"{k}": dicom_bytes(ct_slice(h, 50 + k)) for k, h in enumerate(heights)}
    with open_study(put(tmp_path, "a.zip", zip_bytes(members)), isolated=False) as study:
        header = pack_study(study, None, tmp_path / "study.omv").header
        rows, step = header["ladder"]["slices"], header["ladder"]["step_mm"]
        assert (len(rows) - 1) * step == pytest.approx(56.0)
        assert step == pytest.approx(4.25, rel=0.05)
        for k, i in enumerate(rows):
            assert abs(heights[i] - k * step) == pytest.approx(min(abs(h - k * step) for h in heights))
        assert study.affine is not None
        for i, height in enumerate(heights):
            assert (study.affine @ [header["slice_index"][i], 0, 0, 1])[2] == pytest.approx(height)
        assert "NonUniformSpacing" in study.warnings


def test_even_stacks_need_no_ladder(tmp_path: Path) -> None:
    members = {f"{k}": dicom_bytes(ct_slice(2.5 * k, 50 + k)) for k in range(6)}
    with open_study(put(tmp_path, "a.zip", zip_bytes(members)), isolated=False) as study:
        header = pack_study(study, None, tmp_path / "study.omv").header
        assert (header["ladder"], header["slice_index"]) == (None, None)
        assert header["aspect"] == pytest.approx(0.8 / 0.7)
        assert study.slice_index.tolist() == [0, 1, 2, 3, 4, 5]
