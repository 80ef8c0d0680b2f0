"""What the wall between the app and a file costs: seconds from `open_study` to a closed study, small files."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import numpy as np
import pytest

from omnivmed.io import open_study, pool, warm_up
from tests.io.makers import (
    clip_bytes,
    ct_slice,
    dicom_bytes,
    grid,
    mha_bytes,
    nifti_bytes,
    picture_bytes,
    put,
    ramp,
)

RUNS = 31
WALL_S = 0.050

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not pool.supported(), reason="needs fork and descriptors over Unix sockets"),
]


def seconds(path: Path, isolated: bool) -> float:
    """Median over the runs; the first one warms up."""
    taken = []
    for _ in range(RUNS + 1):
        begun = time.perf_counter()
        with open_study(path, isolated=isolated) as study:
            assert study.frames(0, 1).dtype == np.uint8
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken[1:])


def test_a_small_file_costs_at_most_fifty_milliseconds(tmp_path: Path) -> None:
    warm_up()
    rgb = np.dstack([ramp(256, 256, 0, 255)] * 3).astype(np.uint8)
    files = {
        "PNG 256 x 256": put(tmp_path, "a.png", picture_bytes(rgb)),
        "DICOM slice": put(tmp_path, "a.dcm", dicom_bytes(ct_slice(0, 60))),
        "NIfTI, packed": put(tmp_path, "a.nii.gz", nifti_bytes(grid(), packed=True)),
        "MHA": put(tmp_path, "a.mha", mha_bytes(grid())),
        "MP4, 10 frames": put(tmp_path, "a.mp4", clip_bytes(10)),
    }
    walls = {}
    for name, path in files.items():
        walls[name] = seconds(path, isolated=True)
        alone = seconds(path, isolated=False)
        print(
            f"{name:16} {1000 * walls[name]:5.1f} ms in a worker, {1000 * alone:5.1f} ms in this process, "
            f"{walls[name] / alone:.1f} times"
        )
    assert max(walls.values()) <= WALL_S, walls
