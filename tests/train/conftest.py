"""A made-up data folder in the layout of the real one, and a tiny model in place of the real parts."""

from __future__ import annotations

import json
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def picture(seed: int, size: tuple[int, int] = (64, 64)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, size).astype(np.uint8))


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six MedNIST classes of ten, twenty chest X-rays of ten patients, four teaching images, one MR volume."""
    import nibabel

    root = tmp_path_factory.mktemp("data")
    (root / "mednist").mkdir()
    with zipfile.ZipFile(root / "mednist/mednist_dev.zip", "w") as z:
        for cls in ("AbdomenCT", "BreastMRI", "CXR", "ChestCT", "Hand", "HeadCT"):
            for i in range(10):
                buffer = BytesIO()
                picture(i).save(buffer, "JPEG")
                z.writestr(f"{cls}/{i:06}.jpeg", buffer.getvalue())
    (root / "cxr_nih/images").mkdir(parents=True)
    rows = []
    for i in range(20):
        name = f"{i // 2:08}_{i % 2:03}.jpg"
        picture(i, (96, 96)).save(root / "cxr_nih/images" / name)
        labels = ["No Finding"] if i % 3 else ["Pneumonia", "Edema"]
        rows.append({"image": name, "labels": labels, "view": "PA" if i % 2 else "AP"})
    (root / "cxr_nih/labels.json").write_text(json.dumps(rows))
    (root / "vqa_rad/images").mkdir(parents=True)
    rad, asked = [], []
    for i in range(4):
        name = f"synpic{i}.jpg"
        picture(i, (80, 120)).save(root / "vqa_rad/images" / name)
        rad.append({"image_name": name, "modality": "CT", "plane": "axial", "image_organ": "ABD"})
        asked.append(
            {"image_name": name, "question": "Is this an MRI?", "question_type": "MODALITY", "answer": "No"}
        )
        asked.append(
            {"image_name": name, "question": "Is there a fracture?", "question_type": "PRES", "answer": "no"}
        )
    (root / "vqa_rad/modality.json").write_text(json.dumps({"rows": rad}))
    (root / "vqa_rad/qa.json").write_text(json.dumps(asked))
    (root / "mri_stroke").mkdir()
    # asymmetric: values grow towards the patient's left, front and head
    x, y, z = np.mgrid[0:40, 0:48, 0:44]
    affine = np.diag([2.0, 2.0, 2.0, 1.0])  # RAS: index grows to the right, front, head
    nibabel.save(
        nibabel.Nifti1Image((100 * (39 - x) + y + z).astype(np.int16), affine), root / "mri_stroke/T1.nii.gz"
    )
    return root


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Tiny tensors: a second thread only waits, on a busy machine for minutes."""
    import torch

    torch.set_num_threads(1)
