#!/usr/bin/env bash
# rapidocr 3.10.0 (PP-OCRv6, onnxruntime): a 16-bit picture is taken without a word, and nothing is found in it.
#
# Scanners and radiographs give uint16. The call accepts it, raises nothing and says nothing of the type (at most that
# the result is empty, as for a picture without text). The pixels are divided by 255 whatever their type, so the network
# is given values up to 257 times too large. As long as a uint16 array holds no number above 255 the text is read; the
# same picture in the range of 10, 12 or 16 bits gives boxes = None. float32 is read from 0..255, None from 0..1.
# Seen 2026-11-28 with Python 3.11: uint8 and uint16 up to 255 read; 1023, 4095, 65535 and 0..1 floats None.
# What to do: window to 8 bits first. Exits non-zero when a package behaves otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  rapidocr==3.10.0 onnxruntime==1.32.0 opencv-python-headless==5.0.0.93 'numpy<3'
"$folder/venv/bin/python" - <<'PY'
import sys
import warnings

import cv2
import numpy as np
from rapidocr import RapidOCR

warnings.simplefilter("error")  # a warning about the type would end this script
engine = RapidOCR(params={"Global.log_level": "warning"})
drawn = np.zeros((400, 600), np.uint8)
cv2.putText(drawn, "SAMPLE 0123", (60, 200), cv2.FONT_HERSHEY_SIMPLEX, 1.5, 255, 3)
wide = drawn.astype(np.uint32)
pictures = {
    "uint8, up to 255": (drawn, True),
    "uint16, up to 255": (wide.astype(np.uint16), True),
    "uint16, up to 1023": ((wide * 1023 // 255).astype(np.uint16), False),
    "uint16, up to 4095": ((wide * 4095 // 255).astype(np.uint16), False),
    "uint16, up to 65535": ((wide * 257).astype(np.uint16), False),
    "float32, up to 255": (drawn.astype(np.float32), True),
    "float32, up to 1": ((drawn / 255).astype(np.float32), False),
}
changed = False
for name, (picture, expected) in pictures.items():
    found = engine(picture)
    print(f"{name:20} boxes: {None if found.boxes is None else len(found.boxes)}, texts: {found.txts}")
    changed |= (found.boxes is not None) != expected
sys.exit("the behaviour has changed" if changed else 0)
PY
