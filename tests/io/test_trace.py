"""What decoding touches, seen by the system: no file but the upload, none written, nobody called (promise A5)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from omnivmed.io import pool, sandbox
from tests.io.makers import (
    cine,
    clip_bytes,
    ct_series,
    ct_slice,
    dicom_bytes,
    grid,
    mha_bytes,
    nifti_bytes,
    nrrd_bytes,
    picture_bytes,
    put,
    ramp,
    series_zip,
)

ROOT = Path(__file__).resolve().parents[2]
# What the C library itself looks at: loader, time zone, words of its messages, the process's own facts.
SYSTEM = (
    "/etc/ld.so",
    "/etc/localtime",
    "/usr/share/zoneinfo/",
    "/usr/share/locale/",
    "/proc/",
    "/sys/",
    "/dev/null",
)
BEGIN, END = "/omnivmed-trace-begins", "/omnivmed-trace-ends"
WATCHED = (
    "open,openat,openat2,creat,execve,execveat,connect,bind,sendto,sendmmsg,"
    "unlink,unlinkat,rename,renameat,renameat2,mkdir,mkdirat,link,linkat,symlink,symlinkat,truncate"
)
OPENED = re.compile(r'\b(?:open|openat|openat2|creat)\((?:AT_FDCWD, |\d+, )?"([^"]*)", ([^)]*)\)')
CODE = """
import os, sys
from contextlib import suppress
from omnivmed.errors import StudyError
from omnivmed.io import open_study, warm_up
warm_up()
with suppress(OSError):
    open({begin!r})
outcomes = []
for path in sys.argv[1:]:
    try:
        with open_study(path) as study:
            study.frames(0, 1)
            study.values(len(study) - 1)
        outcomes.append("opened")
    except StudyError as error:
        outcomes.append(error.code)
with suppress(OSError):
    open({end!r})
print(*outcomes)
"""


def uploads(folder: Path) -> dict[Path, bool]:
    """Files of every reader, good ones (True) and such as name another file (False)."""
    secret = put(folder, "canary.raw", grid().tobytes(order="F"))
    good = {
        "a.png": picture_bytes(ramp()),
        "a.jpg": picture_bytes(np.full((20, 24, 3), 90, np.uint8), "JPEG"),
        "a.tif": picture_bytes(ramp(), "TIFF"),
        "a.dcm": dicom_bytes(ct_slice(0, 60)),
        "cine.dcm": dicom_bytes(cine(3)),
        "a.zip": series_zip(ct_series()),
        "a.nii": nifti_bytes(grid()),
        "a.nii.gz": nifti_bytes(grid(), packed=True),
        "a.nrrd": nrrd_bytes(grid(), "gzip"),
        "a.mha": mha_bytes(grid()),
        "a.mp4": clip_bytes(6),
        "a.mkv": clip_bytes(6, "matroska", "mpeg4"),
    }
    bad = {
        "b.nrrd": nrrd_bytes(grid(), **{"data file": str(secret)}),
        "b.mhd": mha_bytes(grid(), ElementDataFile=str(secret)),
        "list.mha": mha_bytes(grid(), ElementDataFile="LIST\n" + str(secret)),
        "b.mp4": f"ffconcat version 1.0\nfile {secret}\n".encode(),
        "m3u.mp4": f"#EXTM3U\n#EXTINF:1,\nfile://{secret}\n".encode(),
        "sdp.mp4": b"v=0\no=- 0 0 IN IP4 198.51.100.7\nc=IN IP4 198.51.100.7\nm=video 5004 RTP/AVP 96\n",
        "b.svg": f'<svg xmlns:x="http://www.w3.org/1999/xlink"><image x:href="file://{secret}"/></svg>'.encode(),
        "b.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/hostname) run\n",
    }
    return {put(folder, n, d): True for n, d in good.items()} | {
        put(folder, n, d): False for n, d in bad.items()
    }


@pytest.mark.skipif(not pool.supported(), reason="needs fork and descriptors over Unix sockets")
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace (Debian: apt-get install strace)")
def test_a5_no_file_but_the_upload_is_opened_and_nobody_is_called(tmp_path: Path) -> None:
    files, log = uploads(tmp_path), tmp_path / "calls.txt"
    run = subprocess.run(
        [
            *("strace", "-f", "-qq", "-s", "300", "-e", f"trace={WATCHED}", "-o", str(log)),
            *(sys.executable, "-c", CODE.format(begin=BEGIN, end=END), *map(str, files)),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=200,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    if run.returncode != 0 and "ptrace" in run.stderr:
        pytest.skip("this machine does not allow processes to be traced")
    assert run.returncode == 0, run.stderr[-2000:]
    for (path, good), outcome in zip(files.items(), run.stdout.split(), strict=True):
        assert (outcome == "opened") == good, (path.name, outcome)

    lines = log.read_text().splitlines()
    begin, end = (next(i for i, x in enumerate(lines) if f'AT_FDCWD, "{m}"' in x) for m in (BEGIN, END))
    door = lines[begin].split()[0]
    calls = lines[begin + 1 : end]
    assert len({line.split()[0] for line in calls}) > len(files) / 2  # the workers were seen, one per study
    readable = (*sandbox.readable_folders(), str(ROOT), *SYSTEM)
    own = {str(path) for path in files}
    for line in calls:
        pid, _, call = line.partition(" ")
        found = OPENED.search(call)
        if found is None:
            # No other call of those watched: nothing is run, called, written, renamed or deleted. (A reply on a
            # socket pair carries no address.)
            assert re.search(r"<\.\.\.|\+\+\+|---|sendto\(\d+, .*, NULL, 0(\)| <unfinished)|resumed", call), (
                line
            )
            continue
        opened, flags = found.groups()
        assert not re.search(r"O_CREAT|O_TRUNC|O_APPEND", flags), line
        if "O_WRONLY" in flags or "O_RDWR" in flags:
            assert opened == "/dev/null", line
        if opened in own:
            assert pid == door, f"a worker opened a path: {line}"
        else:
            assert opened.startswith(readable), line
    assert "canary.raw" not in "\n".join(calls)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        [*(p.name for p in files), "canary.raw", "calls.txt"]
    )
