"""Miniature data sets in the public layouts, made up by code, wrong rows among them."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import numpy as np
from PIL import Image


def picture(path: Path, grey: int = 90, size: tuple[int, int] = (60, 80)) -> None:
    """A flat grey PNG or JPEG of (height, width)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), grey, dtype=np.uint8)).save(path)


def vqa_rad_original(root: Path) -> None:
    rows = [
        ("1", "a.jpg", "Is there fluid?", "Yes", "CLOSED", "PRES", "freeform"),
        ("2", "a.jpg", "Which organ?", "Lung", "OPEN", "ORGAN", "para"),
        ("3", "b.jpg", "Is it enlarged?", "no", "CLOSED ", "SIZE", "test_freeform"),
        ("4", "b.jpg", "How many lesions?", 3, "OPEN", "COUNT", "test_para"),
        ("4", "b.jpg", "How many lesions?", 3, "OPEN", "COUNT", "test_para"),
        ("5", "missing.jpg", "Where?", "left", "OPEN", "POS", "test_freeform"),
        ("6", "b.jpg", "MRI or CT?", "CT", "CLOSED", "MODALITY", "test_freeform"),
        ("7", "b.jpg", "", "CT", "CLOSED", "MODALITY", "test_freeform"),
    ]
    names = ("qid", "image_name", "question", "answer", "answer_type", "question_type", "phrase_type")
    root.mkdir(parents=True, exist_ok=True)
    text = json.dumps([dict(zip(names, row, strict=True)) for row in rows])
    (root / "VQA_RAD Dataset Public.json").write_text(text)
    for name in ("a.jpg", "b.jpg"):
        picture(root / "VQA_RAD Image Folder" / name)


def image_folder(root: Path, split: str) -> None:
    """The hub's ImageFolder layout: VQA-RAD and PathVQA."""
    rows = [
        ("0.png", "Is it there?", "yes"),
        ("0.png", "What is it?", "a cyst"),
        ("1.png", "Is it big?", "No"),
        ("lost.png", "Is it?", "yes"),
    ]
    for name in ("0.png", "1.png"):
        picture(root / split / name)
    lines = [json.dumps(dict(zip(("file_name", "question", "answer"), row, strict=True))) for row in rows]
    (root / split / "metadata.jsonl").write_text("\n".join(lines) + "\n")


def slake(root: Path, split: str = "train") -> None:
    rows = [
        (1, "xmlab1/source.jpg", "What modality?", "MRI", "OPEN", "en", "Modality"),
        (2, "xmlab1/source.jpg", "模态?", "MRI", "OPEN", "zh", "Modality"),
        (3, "xmlab1/source.jpg", "Is it healthy?", "No", "CLOSED", "en", "Abnormality"),
        (4, "xmlab9/source.jpg", "Is it healthy?", "Yes", "CLOSED", "en", "Abnormality"),
    ]
    names = ("qid", "img_name", "question", "answer", "answer_type", "q_lang", "content_type")
    root.mkdir(parents=True, exist_ok=True)
    text = json.dumps([dict(zip(names, row, strict=True)) for row in rows], ensure_ascii=False)
    (root / f"{split}.json").write_text(text, encoding="utf-8")
    picture(root / "imgs" / "xmlab1" / "source.jpg")


M3D_COLUMNS = (
    "Image Path", "Text", "Question Type", "Question", "Choice A", "Choice B", "Choice C", "Choice D",
    "Answer", "Answer Choice",
)  # fmt: skip


def m3d(root: Path, split: str = "test5k") -> None:
    volume = np.linspace(0, 1, 4 * 32 * 28, dtype=np.float32).reshape(1, 4, 32, 28)
    path = root / "M3D_Cap_npy" / "ct_case" / "000001" / "Axial.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, volume)
    name = str(path.relative_to(root))
    rows = [
        (name, "t", "1", "Which plane?", "Axial", "Coronal", "Sagittal", "Oblique", "Axial", "A"),
        (name, "t", "4", "What is seen?", "Cyst", "Stone", "Tumor", "Fat", "Stone", "B"),
        ("nowhere.npy", "t", "1", "Which plane?", "Axial", "Coronal", "Sagittal", "Oblique", "Axial", "A"),
        (name, "t", "9", "Odd?", "a", "b", "c", "d", "a", "A"),
        (name, "t", "2", "Phase?", "Arterial", "", "", "", "Venous", "B"),
    ]
    with (root / f"M3D_VQA_{split}.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([M3D_COLUMNS, *rows])
    (path.parent / "text.txt").write_text("A cyst in the liver.\n")
    index = {
        "train": [
            {"image": name, "text": str((path.parent / "text.txt").relative_to(root))},
            {"image": name, "text": "Report given in the row."},
            {"image": "../outside.npy", "text": "x"},
        ]
    }
    (root / "M3D_Cap.json").write_text(json.dumps(index))


def m3d_reports(root: Path, cases: int = 6) -> None:
    """M3D-Cap of several cases with reports of their own, the first of them twice."""
    rows = []
    for k in range(cases):
        path = root / "M3D_Cap_npy" / "ct_case" / f"{k:06d}" / "Axial.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.full((1, 3, 28, 28), k / 10, dtype=np.float32))
        rows.append(
            {"image": str(path.relative_to(root)), "text": f"Finding number {k}. " + "More words. " * 40}
        )
    (root / "M3D_Cap.json").write_text(json.dumps({"train": [rows[0], *rows], "test": rows[:2]}))


def m3d_seg(root: Path) -> None:
    """A data set of M3D-Seg: a box that is there, one that is not, a class without a name, a missing mask."""
    base = root / "M3D_Seg" / "0003"
    (base / "1").mkdir(parents=True)
    np.save(base / "1" / "image.npy", np.zeros((1, 8, 32, 32), dtype=np.float32))
    there = np.zeros((1, 8, 32, 32), dtype=np.uint8)
    there[0, 2:5, 8:17, 16:25] = 1
    np.save(base / "1" / "mask_1.npy", there)
    np.save(base / "1" / "mask_2.npy", np.zeros_like(there))
    np.save(base / "1" / "mask_9.npy", there)
    np.save(base / "1" / "mask_3.npy", np.zeros(5))
    rows = [{"image": "0003/1/image.npy", "label": f"0003/1/mask_{k}.npy"} for k in (1, 2, 9, 4, 3)]
    labels = {"0": "background", "1": "liver", "2": "spleen", "3": "kidney", "4": "aorta"}
    index = {"labels": labels, "train": [*rows, {"image": "../x.npy", "label": "y"}, 7], "test": rows[:1]}
    (base / "0003.json").write_text(json.dumps(index))


REPORT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___F with cough  // pneumonia?

 FINDINGS:

 The lungs are clear.
 No effusion.

 IMPRESSION:

 No acute process.
"""


def mimic_cxr(root: Path) -> None:
    """Four studies of three patients: two views, one without a report, one without headings, one of the test part."""
    rows = [
        ("d1", "50000001", "10000001", "train", "LATERAL"),
        ("d2", "50000001", "10000001", "train", "PA"),
        ("d0", "50000001", "10000001", "train", "LL"),
        ("d3", "50000002", "10000001", "train", "AP"),
        ("d4", "50000003", "10000002", "train", "AP"),
        ("d5", "50000004", "10000003", "test", "AP"),
        ("d6", "50000005", "10000002", "train", "AP"),
    ]
    root.mkdir(parents=True, exist_ok=True)
    with gzip.open(root / "mimic-cxr-2.0.0-split.csv.gz", "wt") as file:
        file.write("dicom_id,study_id,subject_id,split\n")
        file.writelines(",".join(row[:4]) + "\n" for row in rows)
    views = "".join(f"{row[0]},{row[4]}\n" for row in rows)
    (root / "mimic-cxr-2.0.0-metadata.csv").write_text("dicom_id,ViewPosition\n" + views)
    for dicom, study, subject, _, _ in rows:
        folder = root / "files" / f"p{subject[:2]}" / f"p{subject}" / f"s{study}"
        if dicom != "d6":
            picture(folder / f"{dicom}.jpg")
        texts = {"50000002": None, "50000003": "Portable film. Lines in place.\n"}
        if (text := texts.get(study, REPORT)) is not None:
            report = root / "mimic-cxr-reports" / folder.relative_to(root).with_suffix(".txt")
            report.parent.mkdir(parents=True, exist_ok=True)
            report.write_text(text)


def cholec80(root: Path) -> None:
    folder = root / "Classification" / "5"
    folder.mkdir(parents=True)
    (folder / "100_QA.txt").write_text("is grasper used in this frame?|yes\nwhat phase?|preparation\n\n")
    (folder / "101_QA.txt").write_text("how many tools?|1\n")
    (folder / "200_QA.txt").write_text("how many tools?|2\nwhat phase?|unheard of\nno separator\n")
    (folder / "notes.txt").write_text("?|?\n")
    picture(root / "cropped_image" / "5" / "100.png")
    picture(root / "cropped_image" / "5" / "200.png")
    (root / "Classification" / "1").mkdir()
    (root / "Classification" / "1" / "300_QA.txt").write_text("how many tools?|0\n")


def endovis18(root: Path) -> None:
    folder = root / "seq_1" / "vqa" / "Classification"
    folder.mkdir(parents=True)
    (folder / "frame000_QA.txt").write_text(
        "what organ is being operated?|kidney\nwhat state?|Tool_Manipulation\n"
    )
    (folder / "frame001_QA.txt").write_text("where is it located?|left-top\n")
    picture(root / "seq_1" / "left_frames" / "frame000.png")


def psi_ava(root: Path) -> None:
    lines = {
        "C1_location.txt": "CASE001/00000.jpg|Where is the tool?|top left\n",
        "C3_phase.txt": "CASE001/00000.jpg|What is the phase?|Vesículas_Seminales\nbroken line\n",
        "C4_step.txt": "CASE001/00001.jpg|What is the step?|Corte\n",
        "C2_action.txt": "CASE001/00000.jpg|What action?|Cut\n",
    }
    for name, text in lines.items():
        (root / "Val").mkdir(parents=True, exist_ok=True)
        (root / "Val" / name).write_text(text, encoding="utf-8")
    picture(root / "keyframes" / "CASE001" / "00000.jpg")
