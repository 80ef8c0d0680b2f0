#!/usr/bin/env bash
# OpenCV 5.0.0 and the PP-OCRv6 text detector (as shipped inside rapidocr 3.10.0): TextDetectionModel_DB, the class made
# for such detectors, loads the file and fails when it is used; the plain network of the same library runs it right.
#
# The detector's output is (1, 1, H, W). TextDetectionModel_DB reads it as a matrix of two dimensions: detect() raises
# cv2.error, assertion "dims <= 2". cv2.dnn.readNetFromONNX(...).forward() gives the map of onnxruntime to 1e-3 (seen:
# 2e-5). Asked for the classic engine (ENGINE_CLASSIC), the same file is refused while it is loaded (ReduceMean).
# Seen 2026-11-28 with Python 3.11. What to do: threshold and box the map oneself, or run the file by onnxruntime.
# Exits non-zero when a package behaves otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  rapidocr==3.10.0 onnxruntime==1.32.0 opencv-python-headless==5.0.0.93 'numpy<3'
"$folder/venv/bin/python" - <<'PY'
import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import rapidocr

model = str(Path(rapidocr.__file__).parent / "models" / "PP-OCRv6_det_small.onnx")
picture = np.zeros((736, 736, 3), np.uint8)
cv2.putText(picture, "SAMPLE 0123", (60, 200), cv2.FONT_HERSHEY_SIMPLEX, 1.5, (255, 255, 255), 3)
given = np.ascontiguousarray(((picture.astype(np.float32) / 255 - 0.5) / 0.5).transpose(2, 0, 1)[None])

session = onnxruntime.InferenceSession(model)
wanted = session.run(None, {session.get_inputs()[0].name: given})[0]
network = cv2.dnn.readNetFromONNX(model)
network.setInput(given)
got = network.forward()
apart = float(np.abs(got.reshape(wanted.shape) - wanted).max())
print("output", wanted.shape, "text in it:", bool((wanted > 0.5).any()), "OpenCV's network differs by", apart)

said = {}
detector = cv2.dnn.TextDetectionModel_DB(model)
detector.setBinaryThreshold(0.3)
detector.setPolygonThreshold(0.5)
detector.setInputParams(1 / 127.5, (736, 736), (127.5, 127.5, 127.5))
for name, call in {
    "TextDetectionModel_DB.detect": lambda: detector.detect(picture),
    "readNetFromONNX, classic engine": lambda: cv2.dnn.readNetFromONNX(model, cv2.dnn.ENGINE_CLASSIC),
}.items():
    try:
        call()
        said[name] = "works"
    except cv2.error as error:
        said[name] = " ".join(str(error).split())
    print(f"{name}: {said[name][:160]}")
same = (
    "dims <= 2" in said["TextDetectionModel_DB.detect"]
    and "ReduceMean" in said["readNetFromONNX, classic engine"]
    and apart < 1e-3
    and bool((wanted > 0.5).any())
)
sys.exit(0 if same else "the behaviour has changed")
PY
