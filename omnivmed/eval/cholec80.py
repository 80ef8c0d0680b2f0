"""Cholec80-VQA: `Classification/<video>/<frame>_*.txt` with `question|answer`, `cropped_image/<video>/<frame>.png`.

The original loader keeps the frames divisible by 100. 13 labels.
"""

from __future__ import annotations

import re
from pathlib import Path

from omnivmed.eval.files import need
from omnivmed.eval.protocol import surgical
from omnivmed.eval.surgical import frame_questions
from omnivmed.records import Item, Reading, Skipped

TEST_VIDEOS = (5, 11, 12, 17, 19, 26, 27, 31)
TRAIN_VIDEOS = (
    *range(1, 5),
    *range(6, 11),
    *range(13, 17),
    18,
    *range(20, 26),
    *range(28, 31),
    *range(32, 41),
)
SPLITS = {"train": TRAIN_VIDEOS, "test": TEST_VIDEOS}
LABELS = (
    "no", "calot triangle dissection", "yes", "1", "2", "gallbladder dissection", "clipping cutting",
    "gallbladder retraction", "0", "cleaning coagulation", "gallbladder packaging", "preparation", "3",
)  # fmt: skip
FRAME_STEP = 100
PROTOCOLS = (surgical(LABELS),)


def read(root: Path, split: str) -> Reading:
    """The questions of one split. Raises LayoutError when the folder is missing, ValueError for an unknown split."""
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}; choose from {tuple(SPLITS)}")
    folder = need(root / "Classification", "unpack Cholec80-VQA and point to its folder")
    items: list[Item] = []
    skipped: list[Skipped] = []
    for video in SPLITS[split]:
        for file in sorted((folder / str(video)).glob("*.txt")):
            frame = re.match(r"(\d+)", file.stem)
            if frame is None:
                skipped.append(Skipped(f"{video}/{file.name}", "no frame number in the name"))
                continue
            if int(frame[1]) % FRAME_STEP:
                continue
            image = root / "cropped_image" / str(video) / f"{frame[1]}.png"
            found, lost = frame_questions("cholec80", file, image, LABELS, group=f"video {video}")
            items += found
            skipped += lost
    return Reading(tuple(items), tuple(skipped), f"every {FRAME_STEP}th frame, 13 labels")
