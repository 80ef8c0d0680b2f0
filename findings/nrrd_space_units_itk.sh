#!/usr/bin/env bash
# NRRD keeps the unit of its directions in the field "space units". SimpleITK (ITK) reads the numbers and drops the unit:
# a voxel of 20 x 20 x 30 micrometres gets a spacing of 20 x 20 x 30, which everything behind takes for millimetres, and
# no metadata key tells. The size of the object is wrong by a factor of a thousand.
#
# Seen with SimpleITK 2.5.7 (ITK 5.4): spacing (20.0, 20.0, 30.0), no key with "units".
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q SimpleITK==2.5.7 numpy
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk

head = (
    "NRRD0005\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 5 8 6\n"
    "space directions: (20,0,0) (0,20,0) (0,0,30)\nkinds: domain domain domain\nendian: little\n"
    'space units: "um" "um" "um"\nspace origin: (0,0,0)\nencoding: raw\n\n'
)
Path("micro.nrrd").write_bytes(head.encode() + np.arange(240, dtype="<i2").tobytes())
image = sitk.ReadImage("micro.nrrd")
units = [k for k in image.GetMetaDataKeys() if "unit" in k.lower()]
print("spacing", image.GetSpacing(), "keys about units:", units)
sys.exit(0 if image.GetSpacing() == (20.0, 20.0, 30.0) and not units else 1)
PY
