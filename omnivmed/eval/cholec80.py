"""Cholec80-VQA: `Classification/<video>/<frame>_*.txt` with `question|answer`, `cropped_image/<video>/<frame>.png`.

Frames are numbered at 25 a second. The original loader keeps the questions about frames divisible by 100; a clip takes
whatever frames stand around them. 13 labels.
"""

from __future__ import annotations

import re
from pathlib import Path

from omnivmed.eval.clips import Clip, frames_in
from omnivmed.eval.files import need
from omnivmed.eval.protocol import surgical
from omnivmed.eval.surgical import Surgery
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
FRAMES_A_SECOND = 25.0
PROTOCOLS = (surgical(LABELS),)


def read(root: Path, split: str, clip: Clip | None = None) -> Reading:
    """The questions of one split, about stills or, with `clip`, about clips.

    Raises LayoutError when the folder is missing, ValueError for an unknown split.
    """
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}; choose from {tuple(SPLITS)}")
    folder = need(root / "Classification", "unpack Cholec80-VQA and point to its folder")
    surgery = Surgery("cholec80", "Cholec80-VQA", LABELS, clip)
    items: list[Item] = []
    skipped: list[Skipped] = []
    for video in SPLITS[split]:
        frames = frames_in(root / "cropped_image" / str(video), FRAMES_A_SECOND)
        for file in sorted((folder / str(video)).glob("*.txt")):
            number = re.match(r"(\d+)", file.stem)
            if number is None:
                skipped.append(Skipped(f"{video}/{file.name}", "no frame number in the name"))
                continue
            if int(number[1]) % FRAME_STEP:
                continue
            found, lost = surgery.questions(file, frames, int(number[1]), group=f"video {video}")
            items += found
            skipped += lost
    return Reading(tuple(items), tuple(skipped), f"every {FRAME_STEP}th frame, {surgery.note}")
