"""What there is to learn from: one Record per still, frame or volume, with labels and a patient-wise split.

Nothing here decodes pixels. Labels are the data sets' own (see docs/nano.md for licences). Splits:
``train``, ``dev`` (watched while training), ``test`` (unseen patients; for sets without patient ids unseen blocks
of neighbouring files). ``source_only`` sets are never trained on: they measure whether the source was learnt.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

SPLITS = ("train", "dev", "test")
PACKAGES = "packages/"  # unpacked source packages, see train/nano/README.md


@dataclass(frozen=True)
class Record:
    """One picture, volume or clip of a data set: where it is, whose it is, which split it belongs to, what is known."""

    id: str  # unique and stable: source/name[#frame]
    source: str  # data set
    patient: str  # group that must not be cut by a split
    split: str  # "train" | "dev" | "test"
    kind: str  # "image" | "volume" | "video"
    path: str  # relative to the data folder, or PACKAGES/... below the run folder; "zip::member"
    labels: dict[str, str] = field(default_factory=dict)


def share(text: str) -> float:
    """Stable number in [0, 1) from a text: the split of a patient must not depend on the order of files."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 2**32


def by_share(patient: str, dev: float, test: float) -> str:
    """The split of a patient, by a hash of its name: test, dev or train."""
    x = share(patient)
    return "test" if x < test else "dev" if x < test + dev else "train"


MEDNIST = {
    "AbdomenCT": ("CT", "abdomen"),
    "BreastMRI": ("MRI", "breast"),
    "CXR": ("X-ray", "chest"),
    "ChestCT": ("CT", "chest"),
    "Hand": ("X-ray", "hand"),
    "HeadCT": ("CT", "head"),
}


def mednist(root: Path) -> list[Record]:
    """No patient ids: neighbouring numbers may be one scan, so the split is by block of number per class."""
    archive = root / "mednist/mednist_dev.zip"
    if not archive.exists():
        return []
    with zipfile.ZipFile(archive) as z:
        names = sorted(n for n in z.namelist() if n.endswith(".jpeg"))
    out = []
    for cls, (modality, organ) in MEDNIST.items():
        members = [n for n in names if n.startswith(cls + "/")]
        for i, name in enumerate(members):
            at = i / len(members)
            split = "train" if at < 0.78 else "dev" if at < 0.84 else "test"
            labels = {"modality": modality, "organ": organ}
            if modality == "CT":
                labels["plane"] = "axial"
            block = f"mednist/{cls}/{split}"
            path = f"mednist/mednist_dev.zip::{name}"
            out.append(Record(f"mednist/{name}", "mednist", block, split, "image", path, labels))
    return out


FINDINGS = ("Pneumonia", "Infiltration", "Atelectasis", "Edema", "Effusion", "Consolidation")


def cxr_nih(root: Path) -> list[Record]:
    """Chest X-rays with their findings."""
    file = root / "cxr_nih/labels.json"
    if not file.exists():
        return []
    out = []
    for row in json.loads(file.read_text()):
        patient = "cxr_nih/" + row["image"].split("_")[0]
        found = [f for f in FINDINGS if f in row["labels"]]
        labels = {
            "modality": "X-ray",
            "organ": "chest",
            "view": row["view"],
            "state": "normal" if row["labels"] == ["No Finding"] else "abnormal",
            "findings": ",".join(found).lower(),
        }
        out.append(
            Record(
                f"cxr_nih/{row['image']}",
                "cxr_nih",
                patient,
                by_share(patient, 0.07, 0.2),
                "image",
                f"cxr_nih/images/{row['image']}",
                labels,
            )
        )
    return out


RAD_ORGAN = {"ABD": "abdomen", "CHEST": "chest", "HEAD": "head"}


def vqa_rad(root: Path) -> list[Record]:
    """Split by picture (the official split shares pictures between train and test)."""
    file = root / "vqa_rad/modality.json"
    if not file.exists():
        return []
    out = []
    for row in json.loads(file.read_text())["rows"]:
        name = row["image_name"]
        labels = {"organ": RAD_ORGAN[row["image_organ"]]}
        if row.get("modality"):
            labels["modality"] = row["modality"]
        if row.get("plane") in ("axial", "coronal", "sagittal"):
            labels["plane"] = row["plane"]
        pid = f"vqa_rad/{name}"
        out.append(
            Record(pid, "vqa_rad", pid, by_share(pid, 0.06, 0.2), "image", f"vqa_rad/images/{name}", labels)
        )
    return out


def bccd(root: Path) -> list[Record]:
    """Blood smears with counts of cells."""
    file = root / "bccd/labels.json"
    if not file.exists():
        return []
    out = []
    for row in json.loads(file.read_text()):
        pid = f"bccd/{row['image']}"
        counts = row["counts"]
        labels = {"modality": "microscopy", "organ": "blood", "wbc": str(counts.get("WBC", 0))}
        labels |= {"rbc": str(counts.get("RBC", 0)), "platelets": str(counts.get("Platelets", 0))}
        out.append(
            Record(pid, "bccd", pid, by_share(pid, 0.06, 0.2), "image", f"bccd/images/{row['image']}", labels)
        )
    return out


# Both classes must appear in each split, and no patient (or publication) may cross it.
POCUS_TEST = ("Reg_pat3", "Reg_Image_182340", "Reg_Image_181206", "_prospective_file", "Cov_unsmooth")
POCUS_DEV = ("Reg_Image_181602", "Pneu_emdocs")


def us_pocus(root: Path) -> list[Record]:
    """Clips of lung ultrasound."""
    file = root / "us_pocus/labels.json"
    if not file.exists():
        return []
    out = []
    for row in json.loads(file.read_text()):
        name = row["file"]
        split = (
            "test"
            if any(k in name for k in POCUS_TEST)
            else "dev"
            if any(k in name for k in POCUS_DEV)
            else "train"
        )
        patient = (
            re.sub(r"Image_\d+.*", "", name) if "pat" in name else re.sub(r"(_v|file|paper)\d.*", "", name)
        )
        labels = {
            "modality": "ultrasound",
            "organ": "lung",
            "state": "normal" if row["Label"] == "regular" else "abnormal",
        }
        kind = "video" if row["Type"].lower() == "video" else "image"
        out.append(
            Record(
                f"us_pocus/{name}", "us_pocus", f"us_pocus/{patient}", split, kind, f"us_pocus/{name}", labels
            )
        )
    return out


def colour_stills_and_surgery(root: Path) -> list[Record]:
    """One laparoscopy clip (cut in time: first part train, last part test; near-duplicates, says little)."""
    out = []
    lap = {"modality": "endoscopy", "organ": "abdomen"}
    if (root / "endo_lap/lap_chole_250f_1280x720.mp4").exists():
        path = "endo_lap/lap_chole_250f_1280x720.mp4"
        out.append(Record("endo_lap/lap_chole", "endo_lap", "endo_lap/lap", "train", "video", path, lap))
        out.append(
            Record(
                "endo_lap/robotic",
                "endo_lap",
                "endo_lap/robotic",
                "test",
                "image",
                "endo_lap/robotic_view.png",
                lap,
            )
        )
    for i, name in enumerate(("drimdb_example.jpg", "fundus1.jpg", "fundus2.jpg")):
        if (root / "fundus_berens" / name).exists():
            labels = {"modality": "fundus photograph", "organ": "eye"}
            split = "test" if i == 2 else "train"
            rid = f"fundus_berens/{name}"
            out.append(Record(rid, "fundus_berens", rid, split, "image", rid, labels))
    return out


SEQUENCE = {"FLAIR": "FLAIR", "T1": "T1", "T1W": "T1", "T2": "T2", "T2W": "T2", "T1POST": "T1 with contrast"}
OPEN_MS_SPLIT = {"cs_patient19": "test", "lo_patient04": "test", "lo_patient12": "dev"}

# path, source, patient, split, labels. HU marks volumes whose numbers are Hounsfield units.
VOLUMES = (
    ("mri_stroke/T1.nii.gz", "mri_stroke", "stroke", "train", "MRI|head|T1"),
    ("mri_stroke/T2.nii.gz", "mri_stroke", "stroke", "train", "MRI|head|T2"),
    ("mri_stroke/FLAIR.nii.gz", "mri_stroke", "stroke", "train", "MRI|head|FLAIR"),
    ("mri_studyforrest/t1w_1p4mm.nii.gz", "mri_studyforrest", "studyforrest", "train", "MRI|head|T1"),
    ("mri_vs_seg/vs_seg_001_t1.nii.gz", "mri_vs_seg", "vs001", "test", "MRI|head|T1 with contrast"),
    ("mri_spine_sct/t1w.nii.gz", "mri_spine_sct", "sct", "train", "MRI|spine|T1"),
    ("mri_spine_sct/t2.nii.gz", "mri_spine_sct", "sct", "train", "MRI|spine|T2"),
    ("pyradiomics/brain1_image.nrrd", "pyradiomics", "brain1", "train", "MRI|head|T1 with contrast"),
    ("pyradiomics/breast1_image.nrrd", "pyradiomics", "breast1", "train", "MRI|breast|"),
    ("totalseg_ct/example_mr_sm.nii.gz", "totalseg_mr", "mr_sm", "train", "MRI|abdomen|"),
    # the app's CT sample is this volume (and its crop): never trained on
    ("totalseg_ct/example_ct.nii.gz", "totalseg_ct", "example_ct", "test", "CT|abdomen||HU"),
    ("totalseg_ct/example_ct_sm.nii.gz", "totalseg_ct", "example_ct", "test", "CT|abdomen||HU"),
    ("totalseg_ct/dicom_series", "totalseg_dicom", "totalseg_dicom", "train", "CT|abdomen||HU"),
    ("ct_head_ge/dicom_series", "ct_head_ge", "ct_head_ge", "train", "CT|head||HU"),
)
# body region of the lesion blocks, from looking at them once
DEEPLESION = {"000001": "chest", "000002": "abdomen", "000009": "abdomen", "000010": "abdomen"}


def volumes(root: Path) -> list[Record]:
    """The CT and MR volumes of the table VOLUMES that are there."""
    out = []
    for path, source, patient, split, spec in VOLUMES:
        if (root / path).exists():
            modality, organ, sequence, unit = (spec + "|||").split("|")[:4]
            labels = {"modality": modality, "organ": organ}
            labels |= {"sequence": sequence} if sequence else {}
            labels |= {"unit": unit} if unit else {}
            out.append(Record(path, source, f"{source}/{patient}", split, "volume", path, labels))
    file = root / "mri_open_ms/labels.json"
    for row in json.loads(file.read_text()) if file.exists() else []:
        if not row["is_mask"] and (root / "mri_open_ms" / row["image"]).exists():
            path = f"mri_open_ms/{row['image']}"
            labels = {
                "modality": "MRI",
                "organ": "head",
                "sequence": SEQUENCE[row["sequence"].split("_")[-1]],
            }
            split = OPEN_MS_SPLIT.get(row["patient"], "train")
            out.append(
                Record(path, "mri_open_ms", f"mri_open_ms/{row['patient']}", split, "volume", path, labels)
            )
    for file in sorted((root / "ct_deeplesion").glob("*.nii.gz")):
        if not file.name.endswith("_lesion.nii.gz"):
            patient = file.name.split("_")[2]
            path = f"ct_deeplesion/{file.name}"
            labels = {"modality": "CT", "organ": DEEPLESION[patient], "plane": "axial"}
            split = "dev" if patient == "000010" else "train"
            out.append(
                Record(path, "ct_deeplesion", f"ct_deeplesion/{patient}", split, "volume", path, labels)
            )
    return out


# Stills of pydicom-data 1.0.0 (MIT): one of a kind each, so that ultrasound is not always a lung and a CT slice
# not always a trunk. None of them is a sample of the app.
PACKAGED_CT = "totalsegmentator-2.18.0/tests/reference_files/aorta_report/example_ct.nii.gz"
PACKAGED_COARSE_CT = "slicerio/slicerio/data/CTChest4.nrrd"
PACKAGED_MR = "mricron-data/usr/share/mricron/templates/ch2.nii.gz"
PYDICOM_FOLDER = "pydicom-data-1.0.0/data_store/data/"
PYDICOM_STILLS = (
    ("693_UNCR.dcm", "CT|head|axial"),
    ("MR-SIEMENS-DICOM-WithOverlays.dcm", "MRI|abdomen|axial"),
    ("MR2_UNCR.dcm", "MRI||coronal"),  # a shoulder
    ("RG3_UNCR.dcm", "X-ray||"),  # a leg
    ("JPGLosslessP14SV1_1s_1f_8b.dcm", "ultrasound|heart|"),
    ("US1_UNCR.dcm", "ultrasound||"),  # a lymph node
    ("color-px.dcm", "ultrasound||"),
    ("gdcm-US-ALOKA-16.dcm", "ultrasound||"),
)


def registry_packages(runs: Path) -> list[Record]:
    """What the packages TotalSegmentator 2.18.0 (Apache-2.0), pydicom-data 1.0.0 and slicerio 1.4.0 (MIT) and Debian's
    mricron-data 1.2.20211006 (BSD-3-Clause) hold.

    Two CTs of two patients, the only coronal and sagittal ones. The isotropic one is read from the liver dome
    upwards, so that every slice shows the chest; the coarse one (3 x 3 x 10 mm, lungs and liver) has no one body
    part and is not asked about it. The MR is Colin 27 (Holmes et al. 1998), one head
    scanned 27 times, 1 mm, face and neck included.
    """
    out = []
    ct = PACKAGES + PACKAGED_CT
    if (runs / ct).exists():
        labels = {"modality": "CT", "organ": "chest", "unit": "HU", "from_slice": "45"}
        out.append(
            Record("totalseg_aorta/ct", "totalseg_aorta", "totalseg_aorta", "train", "volume", ct, labels)
        )
    if (runs / (coarse := PACKAGES + PACKAGED_COARSE_CT)).exists():
        labels = {"modality": "CT", "unit": "HU"}
        out.append(
            Record("slicerio/CTChest4", "slicerio", "slicerio/CTChest4", "train", "volume", coarse, labels)
        )
    if (runs / (mr := PACKAGES + PACKAGED_MR)).exists():
        labels = {"modality": "MRI", "organ": "head", "sequence": "T1"}
        out.append(Record("mri_colin27/ch2", "mri_colin27", "mri_colin27", "train", "volume", mr, labels))
    for name, spec in PYDICOM_STILLS:
        if (runs / (PACKAGES + PYDICOM_FOLDER + name)).exists():
            modality, organ, plane = spec.split("|")
            labels = {"modality": modality, "organ": organ, "plane": plane}
            labels = {k: v for k, v in labels.items() if v}
            rid = f"pydicom_data/{name}"
            out.append(
                Record(rid, "pydicom_data", rid, "train", "image", PACKAGES + PYDICOM_FOLDER + name, labels)
            )
    return out


def build_index(root: Path, runs: Path | None = None) -> list[Record]:
    """Every record of the data folder and of the packages in ``runs``, in a fixed order; missing sets left out."""
    makers = (mednist, cxr_nih, vqa_rad, bccd, us_pocus, colour_stills_and_surgery, volumes)
    records = [record for make in makers for record in make(root)]
    return records + (registry_packages(runs) if runs is not None else [])


def write_splits(records: list[Record], folder: Path) -> None:
    """One text file per split: record id and patient, so that every number can be repeated."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        lines = [f"{r.id}\t{r.patient}" for r in records if r.split == split]
        (folder / f"{split}.tsv").write_text("\n".join(sorted(lines)) + "\n")
