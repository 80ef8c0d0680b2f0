"""EndoVis18-VQA: `seq_<k>/vqa/Classification/<frame>_*.txt` with `question|answer`, `seq_<k>/left_frames/<frame>.png`.

The pictures come from the 2018 challenge, under its terms. 18 labels.
"""

from __future__ import annotations

from pathlib import Path

from omnivmed.eval.files import LayoutError
from omnivmed.eval.protocol import surgical
from omnivmed.eval.surgical import frame_questions
from omnivmed.records import Item, Reading, Skipped

SPLITS = {"train": (2, 3, 4, 6, 7, 9, 10, 11, 12, 14, 15), "test": (1, 5, 16)}
LABELS = (
    "kidney", "Idle", "Grasping", "Retraction", "Tissue_Manipulation", "Tool_Manipulation", "Cutting",
    "Cauterization", "Suction", "Looping", "Suturing", "Clipping", "Staple", "Ultrasound_Sensing",
    "left-top", "right-top", "left-bottom", "right-bottom",
)  # fmt: skip
PROTOCOLS = (surgical(LABELS),)


def read(root: Path, split: str) -> Reading:
    """The questions of one split. Raises LayoutError when no sequence is there, ValueError for an unknown split."""
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}; choose from {tuple(SPLITS)}")
    items: list[Item] = []
    skipped: list[Skipped] = []
    folders = [(k, root / f"seq_{k}" / "vqa" / "Classification") for k in SPLITS[split]]
    if not any(folder.is_dir() for _, folder in folders):
        raise LayoutError(
            "no seq_<k>/vqa/Classification folder: unpack EndoVis18-VQA and point to its folder"
        )
    for k, folder in folders:
        if not folder.is_dir():
            skipped.append(Skipped(f"seq_{k}", "sequence missing"))
            continue
        for file in sorted(folder.glob("*.txt")):
            image = root / f"seq_{k}" / "left_frames" / f"{file.stem.split('_')[0]}.png"
            found, lost = frame_questions("endovis18", file, image, LABELS, group=f"seq_{k}")
            items += found
            skipped += lost
    return Reading(tuple(items), tuple(skipped), "18 labels")
