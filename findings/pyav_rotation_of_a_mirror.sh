#!/usr/bin/env bash
# PyAV's VideoFrame.rotation says -180 for an MP4 whose display matrix mirrors left and right (phones' front cameras) and
# 0 for one that mirrors top and bottom. A reader that turns by `rotation` shows the first upside down and the second
# not mirrored at all. The matrix itself is in the frame's side data (DISPLAYMATRIX): nine int32, 16.16 fixed point.
#
# Seen with PyAV 18.1.0 (FFmpeg 8.1.2):
#   plain 0 | mirror left-right -180 | mirror top-bottom 0 | half turn -180
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q av==18.1.0 numpy
"$work/venv/bin/python" - <<'PY'
import io
import struct
import sys

import av
import numpy as np

out = io.BytesIO()
with av.open(out, "w", format="mp4") as target:
    stream = target.add_stream("mpeg4", rate=25)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    for k in range(4):
        target.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), 50 * k, np.uint8), format="rgb24")))
    target.mux(stream.encode(None))
plain = out.getvalue()
at = plain.index(b"tkhd") + 44  # version 0: the matrix is 40 bytes behind the name (ISO 14496-12, 8.3.2)
one = 1 << 16
seen = {}
for name, a, d in (("plain", 1, 1), ("left-right", -1, 1), ("top-bottom", 1, -1), ("half turn", -1, -1)):
    data = plain[:at] + struct.pack(">9i", a * one, 0, 0, 0, d * one, 0, 0, 0, 1 << 30) + plain[at + 36 :]
    with av.open(io.BytesIO(data)) as source:
        frame = next(source.decode(video=0))
        held = frame.side_data.get("DISPLAYMATRIX")
        matrix = struct.unpack("=9i", bytes(held)) if held is not None else None
        seen[name] = int(frame.rotation)
        print(f"{name}: rotation {frame.rotation}, matrix {matrix and (matrix[0] // one, matrix[4] // one)}")
halves = [abs(seen[n]) for n in ("plain", "left-right", "top-bottom", "half turn")]
sys.exit(0 if halves == [0, 180, 0, 180] else 1)
PY
