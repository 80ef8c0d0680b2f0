"""EndoVis18-VQA: `seq_<k>/vqa/Classification/<frame>_*.txt` with `question|answer`, `seq_<k>/left_frames/<frame>.png`.

The pictures come from the 2018 challenge, under its terms. 18 labels.
"""

from __future__ import annotations

import re
from pathlib import Path

from omnivmed.eval.clips import Clip, frames_in
from omnivmed.eval.files import LayoutError
from omnivmed.eval.protocol import surgical
from omnivmed.eval.surgical import Surgery
from omnivmed.records import Item, Reading, Skipped

SPLITS = {"train": (2, 3, 4, 6, 7, 9, 10, 11, 12, 14, 15), "test": (1, 5, 16)}
LABELS = (
    "kidney", "Idle", "Grasping", "Retraction", "Tissue_Manipulation", "Tool_Manipulation", "Cutting",
    "Cauterization", "Suction", "Looping", "Suturing", "Clipping", "Staple", "Ultrasound_Sensing",
    "left-top", "right-top", "left-bottom", "right-bottom",
)  # fmt: skip
PROTOCOLS = (surgical(LABELS),)
FRAMES_A_SECOND = 2.0
"""As the challenge's set of the year before says of itself; not verified for this one. It sets a clip's times only."""


def read(root: Path, split: str, clip: Clip | None = None) -> Reading:
    """The questions of one split, about stills or, with `clip`, about clips.

    Raises LayoutError when no sequence is there, ValueError for an unknown split.
    """
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}; choose from {tuple(SPLITS)}")
    surgery = Surgery("endovis18", "EndoVis18-VQA", LABELS, clip)
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
        frames = frames_in(root / f"seq_{k}" / "left_frames", FRAMES_A_SECOND)
        for file in sorted(folder.glob("*.txt")):
            number = re.search(r"\d+", file.stem.split("_")[0])
            if number is None:
                skipped.append(Skipped(f"seq_{k}/{file.name}", "no frame number in the name"))
                continue
            found, lost = surgery.questions(file, frames, int(number[0]), group=f"seq_{k}")
            items += found
            skipped += lost
    return Reading(tuple(items), tuple(skipped), surgery.note)
