#!/usr/bin/env bash
# A grey TIFF with PhotometricInterpretation 0 (WhiteIsZero, TIFF 6.0 section 4), as film digitizers and microscopes write
# it: Pillow turns the samples to black-is-zero when they have 8 bits, and hands 16-bit samples on as stored. The same
# radiograph is positive at one depth and negative at the other, unless tag 262 is looked at.
#
# Seen with Pillow 12.3.0: 10 of 8 bits is read as 245, 10 of 16 bits as 10.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q pillow==12.3.0 numpy
cd "$work"
"$work/venv/bin/python" - <<'PY'
import io
import struct
import sys

import numpy as np
from PIL import Image

read = []
for dtype in ("u1", "<u2"):
    pixels = np.full((4, 4), 10, dtype)
    raw = pixels.tobytes()
    tags = [(256, 4), (257, 4), (258, 8 * pixels.itemsize), (259, 1), (262, 0), (273, 8), (277, 1), (278, 4), (279, len(raw))]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    data = b"II*\0" + struct.pack("<I", 8 + len(raw)) + raw + struct.pack("<H", len(tags)) + entries + bytes(4)
    picture = Image.open(io.BytesIO(data))
    read.append(int(np.asarray(picture)[0, 0]))
    print(picture.mode, "tag 262 =", picture.tag_v2[262], "stored 10, read", read[-1])
sys.exit(0 if read == [245, 10] else 1)
PY
