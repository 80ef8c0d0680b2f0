"""Study from numbers in memory: shapes, units, windows, letters, ids."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from omnivmed.errors import ModelError, StudyError
from omnivmed.frames import inside_margins
from omnivmed.limits import LOCAL, PUBLIC
from omnivmed.orientation import plane_of
from omnivmed.study import Study

AXIAL = np.array([[0, 0, -1.0, 10], [0, -1.0, 0, 20], [3.0, 0, 0, 30], [0, 0, 0, 1]])


def ramp(t: int = 4, h: int = 6, w: int = 8) -> np.ndarray:
    return np.arange(t * h * w, dtype=np.int16).reshape(t, h, w)


def test_kinds_by_shape() -> None:
    assert Study.from_array(ramp()[0]).kind == "image"
    assert Study.from_array(ramp()).kind == "volume"
    assert Study.from_array(ramp(), times_s=np.arange(4) / 10).kind == "video"
    rgb = Study.from_array(np.zeros((5, 6, 3), np.uint8))
    assert (rgb.kind, rgb.shape, rgb.channels, rgb.window, rgb.unit, rgb.presets) == (
        "image",
        (1, 5, 6),
        3,
        None,
        "rgb",
        [],
    )


def test_values_frames_and_stored_agree() -> None:
    study = Study.from_array(ramp(), slope=2.0, intercept=-10.0, window=(100, 200))
    assert np.array_equal(study.values(), ramp() * 2.0 - 10)
    array, slope, intercept = study.stored(1, 3)
    assert np.array_equal(array * slope + intercept, study.values(1, 3))
    assert study.frames().dtype == np.uint8
    assert study.frames().shape == (4, 6, 8, 3)
    assert np.array_equal(study.take([2, 0]), study.frames()[[2, 0]])


def test_float_and_wide_numbers_are_windowed_alike() -> None:
    views = [
        Study.from_array(ramp().astype(d), window=(90, 150)).frames()
        for d in (np.int16, np.int32, np.float32, np.uint16)
    ]
    for view in views[1:]:
        assert np.array_equal(view, views[0])


def test_inverted_shows_but_does_not_change_numbers() -> None:
    plain, other = (
        Study.from_array(ramp(), window=(90, 150)),
        Study.from_array(ramp(), window=(90, 150), inverted=True),
    )
    assert np.array_equal(plain.values(), other.values())
    assert np.array_equal(plain.frames(), 255 - other.frames())


def test_window_changes_without_reading_again() -> None:
    study = Study.from_array(ramp(), window=(50, 20))
    other = study.with_window((100, 300))
    assert other.window == (100.0, 300.0)
    assert study.window == (50, 20)
    assert other.content_id == study.content_id
    assert other.digest != study.digest
    assert other.with_window((50, 20)).digest == study.with_window((50, 20)).digest
    for wrong in ((0, 0), (0, -5), (float("nan"), 10)):
        with pytest.raises(ValueError, match="window"):
            study.with_window(wrong)


def test_ids_follow_content() -> None:
    assert Study.from_array(ramp()).content_id == Study.from_array(ramp()).content_id
    assert Study.from_array(ramp()).content_id != Study.from_array(ramp() + 1).content_id
    assert Study.from_array(ramp()).content_id != Study.from_array(ramp(), slope=2).content_id


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(
    ("degrees", "plane"), [(0, "axial"), (20, "axial"), (25, "axial"), (26, "oblique"), (30, "oblique")]
)
def test_a_plane_keeps_its_name_up_to_26_degrees(degrees: float, plane: str, axis: int) -> None:
    """A gantry tilt (about the left-right axis) and a turn of the head, of an axial stack."""
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    turn = np.eye(4)
    other = 1 - axis
    turn[other, other] = turn[2, 2] = cosine
    turn[other, 2], turn[2, other] = -sine, sine
    assert plane_of(turn @ AXIAL) == plane


def test_letters_of_all_planes() -> None:
    study = Study.from_array(ramp(), affine=AXIAL, spacing_mm=(3, 1, 1), modality="CT")
    assert study.plane == plane_of(AXIAL) == "axial"
    assert study.edge_letters() == ("R", "L", "A", "P")
    assert study.edge_letters(1) == ("R", "L", "I", "S")
    assert study.edge_letters(2) == ("A", "P", "I", "S")
    assert Study.from_array(ramp()).edge_letters() is None
    with pytest.raises(ValueError, match="plane_axis"):
        study.edge_letters(3)


def test_presets_and_places() -> None:
    study = Study.from_array(ramp(), modality="CT", spacing_mm=(3, 1, 2))
    assert study.unit == "HU"
    assert [name for name, _, _ in study.presets][:2] == ["auto", "brain"]
    assert study.pixel_aspect == 0.5
    assert study.slice_mm is not None
    assert study.slice_mm.tolist() == [0, 3, 6, 9]


def test_times() -> None:
    study = Study.from_array(ramp(), times_s=[0, 0.1, 0.5, 0.6])
    assert [study.index_at(t) for t in (-1, 0, 0.1, 0.49, 9)] == [0, 0, 1, 1, 3]
    with pytest.raises(ValueError, match="times_s"):
        Study.from_array(ramp(), times_s=[0, 1])


def test_asking_outside_is_an_error() -> None:
    study = Study.from_array(ramp())
    for wrong in ((0, 5), (-1, 2), (2, 2), (3, 1)):
        with pytest.raises(IndexError):
            study.frames(*wrong)
    with pytest.raises(IndexError):
        study.take([4])


def test_closing() -> None:
    with Study.from_array(ramp()) as study:
        assert len(study) == 4
        assert "volume 4x6x8" in repr(study)
    with pytest.raises(ValueError, match="closed"):
        study.frames()


def test_errors_keep_their_code_and_sentence() -> None:
    for error in (StudyError("TooLarge", "Too much."), ModelError("TooLong", "Too long.")):
        again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
        assert (again.code, again.message, str(again)) == (error.code, error.message, error.message)
    with pytest.raises(ValueError, match="code"):
        StudyError("Odd", "…")  # type: ignore[arg-type]


def test_limits_are_ordered_and_printed() -> None:
    assert PUBLIC.upload_bytes < LOCAL.upload_bytes
    assert PUBLIC.raw_voxel_bytes == 256 * 2**20
    assert (PUBLIC.confirm_burned_in, LOCAL.confirm_burned_in) == (True, False)
    assert json.dumps(PUBLIC.describe())
    assert ("upload", "256 MB") in PUBLIC.describe()


def test_a_part_is_another_study_of_the_same_pixels() -> None:
    volume = np.arange(3 * 40 * 50, dtype=np.int16).reshape(3, 40, 50)
    affine = np.array([[0, 0, 0.5, 10], [0, -0.7, 0, 20], [2, 0, 0, 30], [0, 0, 0, 1]], float)
    whole = Study.from_array(
        volume, spacing_mm=(2, 0.7, 0.5), affine=affine, modality="CT", notes=["A note."]
    )
    part = whole.with_crop((4, 30), (5, 45))
    assert part.shape == (3, 26, 40)
    assert np.array_equal(part.values(), whole.values()[:, 4:30, 5:45])
    assert np.array_equal(part.frames(1, 2), whole.frames(1, 2)[:, 4:30, 5:45])
    assert np.array_equal(part.stored()[0], volume[:, 4:30, 5:45])
    assert part.window == whole.window
    assert part.spacing_mm == whole.spacing_mm
    assert part.edge_letters() == whole.edge_letters()
    assert part.affine is not None
    assert np.allclose(part.affine @ [1, 0, 0, 1], affine @ [1, 4, 5, 1])  # the same voxel, the same place
    assert part.notes[0] == "A note."
    assert "40 x 26 of 50 x 40" in part.notes[1]
    # Nothing that is kept for one is ever taken for the other.
    again, other = whole.with_crop((4, 30), (5, 45)), whole.with_crop((4, 30), (4, 45))
    assert part.content_id == again.content_id != whole.content_id
    assert len({whole.digest, part.digest, other.digest, part.with_window((0.0, 10.0)).digest}) == 4
    assert whole.with_crop((0, 40), (0, 50)).digest == whole.digest
    for rows, columns in (((-1, 10), (0, 10)), ((10, 10), (0, 10)), ((0, 41), (0, 10)), ((0, 10), (40, 51))):
        with pytest.raises(ValueError, match="asked of frames"):
            whole.with_crop(rows, columns)
    part.close()
    with pytest.raises(ValueError, match="closed"):
        whole.values()


def test_a_part_of_a_part_and_of_a_clip() -> None:
    clip = np.random.default_rng(0).integers(0, 255, (4, 30, 40, 3), np.uint8)
    whole = Study.from_array(clip, times_s=[0, 1, 2, 3])
    part = whole.with_crop((2, 28), (0, 40)).with_crop((1, 20), (3, 33))
    assert np.array_equal(part.take([3, 0]), clip[[3, 0], 3:22, 3:33])
    assert part.times_s is not None
    assert len(part) == 4


def test_margins_take_the_pixel_they_touch_and_leave_something() -> None:
    assert inside_margins(100, 200, 10, 0, 5.2, 25) == ((10, 100), (11, 150))
    assert inside_margins(10, 10, 0, 0, 0, 0) == ((0, 10), (0, 10))
    for margins in ((50, 40, 0, 0), (0, 0, 99, 0), (-1, 0, 0, 0), (float("nan"), 0, 0, 0), (101, 0, 0, 0)):
        with pytest.raises(ValueError, match=r"left|per cent"):
            inside_margins(100, 100, *margins)


def test_a_painted_study_has_lost_the_pixels_everywhere() -> None:
    volume = np.arange(3 * 40 * 50, dtype=np.int16).reshape(3, 40, 50) + 100
    whole = Study.from_array(volume, spacing_mm=(2, 0.7, 0.5), modality="CT", window=(40, 400))
    found = whole.with_text([(2, 3, 8, 20), (30, 30, 36, 44)], ask=True)
    assert (whole.text_boxes, found.text_boxes) == (None, ((2, 3, 8, 20), (30, 30, 36, 44)))
    assert found.needs_confirmation
    assert found.digest == whole.digest  # the pixels are the same
    painted = found.with_painted([(2, 3, 8, 20)])
    assert painted.text_boxes == ((30, 30, 36, 44),)
    assert painted.painted == ((2, 3, 8, 20),)
    assert painted.needs_confirmation  # a person still has to look
    assert painted.content_id != whole.content_id
    assert painted.content_id == whole.with_painted([(2, 3, 8, 20)]).content_id
    for part in (painted, painted.with_window((100.0, 50.0)), painted.with_crop((1, 39), (0, 50))):
        top = 1 if part.shape[1] == 38 else 2
        for pixels in (part.values(), part.stored()[0]):
            assert len(np.unique(pixels[:, top : top + 6, 3:20])) == 1
        assert (part.frames()[:, top : top + 6, 3:20] == 0).all()
    outside = np.ones((40, 50), bool)
    outside[2:8, 3:20] = False
    assert np.array_equal(painted.values()[:, outside], whole.values()[:, outside])
    assert np.array_equal(whole.values(), volume)  # the study beside it is untouched
    assert "painted out" in painted.notes[-1]
    for box in ((-1, 0, 5, 5), (0, 0, 41, 5), (5, 5, 5, 9), (0, 9, 4, 9)):
        with pytest.raises(ValueError, match="asked of frames"):
            whole.with_painted([box])
    assert whole.with_painted([]).digest == whole.digest


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize(
    ("dtype", "slope", "intercept"),
    [(np.uint8, 1, 0), (np.int16, -2, 50), (np.uint16, 0.5, -1000), (np.float32, 1, 0), (np.int32, 1, 0)],
)
def test_painted_is_black_in_every_type(dtype: type, slope: float, intercept: float, inverted: bool) -> None:
    stored: np.ndarray = np.random.default_rng(0).integers(0, 100, (2, 20, 20)).astype(dtype)
    study = Study.from_array(stored, slope=slope, intercept=intercept, inverted=inverted)
    painted = study.with_painted([(4, 5, 9, 12)])
    assert (painted.frames()[:, 4:9, 5:12] == 0).all()
    assert painted.dtype == study.dtype


def test_painting_colour_a_part_and_a_part_of_what_was_painted() -> None:
    clip = np.full((3, 40, 50, 3), 200, np.uint8)
    study = Study.from_array(clip, times_s=np.arange(3)).with_text([(0, 0, 6, 9), (20, 20, 30, 48)])
    part = study.with_crop((4, 30), (5, 45))
    assert part.text_boxes == ((0, 0, 2, 4), (16, 15, 26, 40))
    both = part.with_painted(part.text_boxes or ()).with_crop((1, 20), (0, 40))
    assert both.text_boxes == ()
    assert both.painted == ((0, 0, 1, 4), (15, 15, 19, 40))
    assert (both.take([2])[0, 15:, 15:] == 0).all()
    assert (both.take([2])[0, :15, 15:] == 200).all()
    again = part.with_painted([(16, 15, 26, 40)])
    assert (again.values()[:, 16:, 15:] == 0).all()
    assert (again.values()[:, :16] == 200).all()
