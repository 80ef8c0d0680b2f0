#!/usr/bin/env bash
# FreeSurfer's MGH header has a flag, goodRASFlag: 0 means that no direction was stored. nibabel then fills in a coronal
# guess and sets the flag to 1 in the header that it hands out, so a program that asks the header whether left is known
# gets yes. Only bytes 28 and 29 of the file still tell.
#
# Seen with nibabel 5.4.2: flag in the file 0, flag of the loaded header 1, affine with directions (L, S, P).
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q nibabel==5.4.2 numpy
"$work/venv/bin/python" - <<'PY'
import sys

import nibabel as nib
import numpy as np

data = nib.MGHImage(np.arange(240, dtype=np.int16).reshape(6, 8, 5), np.diag([2.0, 2.0, 3.0, 1.0])).to_bytes()
untold = data[:28] + b"\x00\x00" + data[30:]
image = nib.MGHImage.from_bytes(untold)
flag = int(image.header["goodRASFlag"])
print("in the file", int.from_bytes(untold[28:30], "big"), "in the header", flag, nib.aff2axcodes(image.affine))
sys.exit(0 if flag == 1 and nib.aff2axcodes(image.affine) == ("L", "S", "P") else 1)
PY
