#!/usr/bin/env bash
# One valid NIfTI, two places: nibabel takes the sform whenever its code is above 0, ITK takes the qform unless the sform
# code is 1 (NIFTI_XFORM_SCANNER_ANAT). A volume registered to a template (sform code 2 or 4, qform code 1) therefore
# lies, and is turned, otherwise in ITK-based viewers than in nibabel-based ones. nifti1.h ranks neither.
#
# Seen with nibabel 5.4.2 and SimpleITK 2.5.7 (ITK 5.4):
#   sform code 1: nibabel (-10, -20, 30)  ITK (-10, -20, 30)
#   sform code 2: nibabel (-10, -20, 30)  ITK (5, 6, 7)
#   sform code 4: nibabel (-10, -20, 30)  ITK (5, 6, 7)
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q nibabel==5.4.2 SimpleITK==2.5.7 numpy
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys
import nibabel as nib
import numpy as np
import SimpleITK as sitk

values = np.arange(240, dtype=np.int16).reshape(6, 8, 5)
sform = np.diag([2.0, 2.0, 3.0, 1.0])
sform[:3, 3] = (-10, -20, 30)
c, s = np.cos(0.3), np.sin(0.3)
qform = np.array([[2 * c, -2 * s, 0, 5], [2 * s, 2 * c, 0, 6], [0, 0, 3, 7], [0, 0, 0, 1.0]])
seen = {}
for code in (1, 2, 4):
    image = nib.Nifti1Image(values, sform)
    image.set_sform(sform, code)
    image.set_qform(qform, 1)
    nib.save(image, "both.nii")
    by_nibabel = nib.load("both.nii").affine[:3, 3]
    x, y, z = sitk.ReadImage("both.nii").GetOrigin()
    by_itk = np.array([-x, -y, z])  # ITK works in LPS
    seen[code] = (np.allclose(by_nibabel, sform[:3, 3]), np.allclose(by_itk, sform[:3, 3], atol=1e-3))
    print(f"sform code {code}: nibabel {by_nibabel.round(3)}  ITK {by_itk.round(3)}")
sys.exit(0 if seen == {1: (True, True), 2: (True, False), 4: (True, False)} else 1)
PY
