"""VQA-RAD (CC0), in both conventions; they change the numbers, so the report says which was used.

* "original": `VQA_RAD Dataset Public.json` + `VQA_RAD Image Folder/`. Closed = the annotated `answer_type`
  (not only yes/no). Test = rows whose `phrase_type` begins with "test" or whose `split` is "test". The
  LLaVA-Med line reports on this one.
* "hub": one folder per split with `metadata.jsonl` (file_name, question, answer), as written by saving the
  hub's image, question and answer columns. No `answer_type`: closed = yes/no answers (251 of 451 in test).

The test rows share all their images with train; `by_image` gives a split without shared images.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

from omnivmed.eval.files import NOT_AN_OBJECT, LayoutError, inside, is_yes_no, named_rows, need
from omnivmed.eval.kinds import task_by_wording, task_of
from omnivmed.eval.protocol import LLAVA_MED, RULE_ONLY
from omnivmed.records import About, Item, Media, Reading, Skipped

Convention = Literal["original", "hub"]
PROTOCOLS = (LLAVA_MED, RULE_ONLY)
SPLITS = ("train", "test")
QUESTION_FILES = ("VQA_RAD Dataset Public.json", "qa.json")
IMAGE_FOLDERS = ("VQA_RAD Image Folder", "images")
MODALITY_OF_ORGAN = {"CHEST": "x-ray", "ABD": "ct", "ABDOMEN": "ct"}
"""Looked at one by one: abdomen is always CT, chest always a radiograph; heads are both CT and MR, so not said."""
TEST_SHARE = 0.2
"""Share of images in the test part of the split by image: the pictures that nano has never seen (train/nano)."""


def read(root: Path, split: str, convention: Convention = "original") -> Reading:
    """The questions of one split. split: "train", "test", "train-by-image" or "test-by-image" (original only).

    Raises LayoutError when the files are not there, ValueError for an unknown split or convention.
    """
    if convention == "hub":
        if split not in SPLITS:
            raise ValueError(f"no split {split!r} in the hub convention; choose from {SPLITS}")
        return _read_hub(root, split)
    if convention != "original":
        raise ValueError(f"unknown convention {convention!r}: original or hub")
    return _read_original(root, split)


def part_by_image(image_name: str) -> str:
    """ "train" or "test", from the image's name alone: stable when rows are added, and no image is in both.

    The recipe of nano splits its VQA-RAD pictures by the same rule (`train/nano/data/index.py`), which a test holds.
    """
    number = int.from_bytes(hashlib.sha256(f"vqa_rad/{image_name}".encode()).digest()[:4], "big")
    return "test" if number / 2**32 < TEST_SHARE else "train"


def _read_original(root: Path, split: str) -> Reading:
    base, _, by_image = split.partition("-")
    if base not in SPLITS or by_image not in ("", "by-image"):
        raise ValueError(f"no split {split!r}: train, test, train-by-image or test-by-image")
    questions = next((root / name for name in QUESTION_FILES if (root / name).is_file()), None)
    if questions is None:
        raise LayoutError(f"{QUESTION_FILES[0]} not found; download VQA-RAD and point to its folder")
    images = next((root / name for name in IMAGE_FOLDERS if (root / name).is_dir()), None)
    if images is None:
        raise LayoutError(f"{IMAGE_FOLDERS[0]}/ not found beside {questions.name}")
    items, skipped = [], []
    seen: dict[str, int] = {}
    for place, (where, row) in enumerate(named_rows(questions)):
        if row is None:
            skipped.append(Skipped(where, NOT_AN_OBJECT))
            continue
        name = str(row.get("image_name", ""))
        qid = str(row.get("qid", place))
        if base != (part_by_image(name) if by_image else _official_part(row)):
            continue
        path = inside(images, name)
        if not name or path is None or not path.is_file():
            skipped.append(Skipped(f"{where}, qid {qid} ({name or 'no image'})", "image missing"))
            continue
        # Eight answers of the public file are numbers; some types carry a trailing space.
        answer = str(row.get("answer", "")).strip()
        question = str(row.get("question", "")).strip()
        kind = str(row.get("answer_type", "")).strip().upper()
        if not answer or not question or kind not in ("OPEN", "CLOSED"):
            skipped.append(Skipped(f"{where}, qid {qid}", "no question, answer or answer type"))
            continue
        seen[qid] = seen.get(qid, 0) + 1
        items.append(
            Item(
                id=f"vqa_rad/{qid}" + (f"-{seen[qid]}" if seen[qid] > 1 else ""),
                media=Media("image", (path,)),
                question=question,
                answer=answer,
                closed=kind == "CLOSED",
                category=str(row.get("question_type", "")).strip().upper(),
                group=name,
                about=About(
                    MODALITY_OF_ORGAN.get(
                        str(row.get("image_organ", row.get("organ", ""))).strip().upper(), ""
                    ),
                    task_of(row.get("question_type")),
                    "VQA-RAD",
                    name,
                ),
            )
        )
    note = "original answer_type" + (", split by image" if by_image else ", official split (shares images)")
    return Reading(tuple(items), tuple(skipped), note)


def _official_part(row: dict[str, Any]) -> str:
    if row.get("split") in SPLITS:
        return str(row["split"])
    return "test" if str(row.get("phrase_type", "")).startswith("test") else "train"


def _read_hub(root: Path, split: str) -> Reading:
    folder = need(root / split, "save the hub copy as one folder per split")
    return read_image_folder(folder, "vqa_rad-hub", "hub copy: closed = yes/no answers", "VQA-RAD")


def read_image_folder(folder: Path, name: str, note: str, source: str, modality: str = "") -> Reading:
    """A folder with pictures and `metadata.jsonl` (file_name, question, answer): the hub's ImageFolder layout.

    source, modality: of all rows; what a row asks is told by its wording alone.
    """
    items, skipped = [], []
    table = need(folder / "metadata.jsonl", "one line per question")
    for place, (where, row) in enumerate(named_rows(table)):
        if row is None:
            skipped.append(Skipped(where, NOT_AN_OBJECT))
            continue
        file_name = str(row.get("file_name", ""))
        path = inside(folder, file_name)
        if not file_name or path is None or not path.is_file():
            skipped.append(Skipped(f"{where} ({file_name or 'no image'})", "image missing"))
            continue
        question, answer = str(row.get("question", "")).strip(), str(row.get("answer", "")).strip()
        if not question or not answer:
            skipped.append(Skipped(where, "no question or answer"))
            continue
        items.append(
            Item(
                id=f"{name}/{place}",
                media=Media("image", (path,)),
                question=question,
                answer=answer,
                closed=is_yes_no(answer),
                category="yes/no" if is_yes_no(answer) else "open",
                group=file_name,
                about=About(modality, task_by_wording(question), source, file_name),
            )
        )
    return Reading(tuple(items), tuple(skipped), note)
