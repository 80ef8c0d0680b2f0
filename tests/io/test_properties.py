"""Any byte string either opens or raises StudyError; so does every mutation of a good file."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from omnivmed.errors import StudyError
from omnivmed.io import open_study
from omnivmed.io.sniff import HEAD_BYTES, Format, sniff
from omnivmed.limits import Limits
from tests.fuzz.__main__ import attempt
from tests.fuzz.findings import FINDINGS
from tests.fuzz.mutate import mutate
from tests.fuzz.recipe import Recipe
from tests.fuzz.seeds import seeds
from tests.io.makers import put

SMALL = Limits(
    raw_voxel_bytes=2**24, image_pixels=2**20, video_pixels=2**20, inflate_bytes=2**22, video_frames=2000
)
MAGICS = [
    b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"II*\x00", b"BM", b"RIFF\x00\x00\x00\x00WEBP", b"\x1f\x8b\x08",
    b"\0" * 128 + b"DICM", b"NRRD0004\n", b"ObjectType = Image\nNDims = 3\n", b"PK\x03\x04", b"\x1a\x45\xdf\xa3",
    b"\x00\x00\x00\x20ftypisom", b"\x00\x00\x01\xba", b"RIFF\x00\x00\x00\x00AVI ", b"\x5c\x01\x00\x00",
    b"\x08\x00\x05\x00CS",
]  # fmt: skip
BY_MAGIC: dict[bytes, Format] = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    b"GIF87a": "gif",
    b"GIF89a": "gif",
    b"RIFF\x00\x00\x00\x00WEBP": "webp",
    b"RIFF\x00\x00\x00\x00AVI ": "avi",
    b"\0" * 128 + b"DICM": "dicom",
    b"NRRD0004\n": "nrrd",
    b"ObjectType = Image\nNDims = 3\n": "mha",
    b"PK\x03\x04": "zip",
}  # not Matroska and MPEG: their first four bytes are also the size of an MP4 box


@settings(max_examples=300)
@given(st.binary(max_size=600), st.integers(0, 2**33))
@example(b"", 0)
def test_sniffing_any_bytes(head: bytes, size: int) -> None:
    """A format we name, or one of three refusals; nothing in it is one of them, always the same."""
    try:
        said: str = sniff(head[:HEAD_BYTES], size)
    except StudyError as error:
        said = error.code
    assert said in {*get_args(Format), "Corrupt", "Unsupported", "NotAnImage"}
    if size == 0 or not head:
        assert said == "Corrupt"


@settings(max_examples=200)
@given(st.sampled_from(sorted(BY_MAGIC)), st.binary(max_size=600))
def test_a_magic_decides_whatever_follows(magic: bytes, rest: bytes) -> None:
    assert sniff((magic + rest)[:HEAD_BYTES], 10**6) == BY_MAGIC[magic]


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(MAGICS), st.binary(max_size=400))
def test_any_bytes_behind_a_magic_open_or_refuse(tmp_path: Path, magic: bytes, rest: bytes) -> None:
    path = put(tmp_path, "file", magic + rest)
    with suppress(StudyError), open_study(path, isolated=False, limits=SMALL) as study:
        study.frames(0, 1)


@pytest.mark.parametrize("name", sorted(seeds()))
def test_mutated_files_open_or_refuse(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(sum(name.encode()))
    for _ in range(5):
        path = put(tmp_path, "file", mutate(seeds()[name], rng))
        with suppress(StudyError), open_study(path, limits=SMALL) as study:
            assert study.frames(0, 1).dtype == np.uint8
            study.values(len(study) - 1)


def test_a_recipe_makes_the_same_file_again(tmp_path: Path) -> None:
    for name in ("dicom", "series", "nifti-gz", "png", "mp4"):
        recipe = Recipe(name).then(7).then(8)
        assert recipe.build() == recipe.build() != seeds()[name]
        assert attempt(put(tmp_path, "file", recipe.build()))[1] == ""


@pytest.mark.parametrize(
    "recipe", [r for _, r in FINDINGS], ids=[f"{r.name}: {what}" for what, r in FINDINGS]
)
def test_what_the_fuzzer_found_stays_mended(tmp_path: Path, recipe: Recipe) -> None:
    assert attempt(put(tmp_path, "file", recipe.build()))[1] == ""
