"""SLAKE (CC BY 4.0), English rows: `train.json`, `validation.json` (or `validate.json`), `test.json`, `imgs/`."""

from __future__ import annotations

from pathlib import Path

from omnivmed.eval.files import NOT_AN_OBJECT, LayoutError, inside, named_rows, need
from omnivmed.eval.kinds import modality_of, task_of
from omnivmed.eval.protocol import LLAVA_MED, RULE_ONLY
from omnivmed.records import About, Item, Media, Reading, Skipped

PROTOCOLS = (LLAVA_MED, RULE_ONLY)
FILES = {
    "train": ("train.json",),
    "validation": ("validation.json", "validate.json"),
    "test": ("test.json",),
}
SPLITS = tuple(FILES)


def read(root: Path, split: str) -> Reading:
    """English questions of one split; rows in other languages are left out and counted.

    Raises LayoutError when the files are not there, ValueError for an unknown split.
    """
    if split not in FILES:
        raise ValueError(f"no split {split!r}; choose from {SPLITS}")
    questions = next((root / name for name in FILES[split] if (root / name).is_file()), None)
    if questions is None:
        raise LayoutError(f"{FILES[split][0]} not found; unpack SLAKE and point to its folder")
    images = need(root / "imgs", "unpack imgs.zip beside the JSON files")
    items, skipped = [], []
    for place, (where, row) in enumerate(named_rows(questions)):
        if row is None:
            skipped.append(Skipped(where, NOT_AN_OBJECT))
            continue
        qid = str(row.get("qid", place))
        if row.get("q_lang") != "en":
            skipped.append(Skipped(f"{where}, qid {qid}", "not English", by_rule=True))
            continue
        name = str(row.get("img_name", ""))
        path = inside(images, name)
        if not name or path is None or not path.is_file():
            skipped.append(Skipped(f"{where}, qid {qid} ({name or 'no image'})", "image missing"))
            continue
        kind = str(row.get("answer_type", "")).strip().upper()
        question, answer = str(row.get("question", "")).strip(), str(row.get("answer", "")).strip()
        if kind not in ("OPEN", "CLOSED") or not question or not answer:
            skipped.append(Skipped(f"{where}, qid {qid}", "no question, answer or answer type"))
            continue
        items.append(
            Item(
                id=f"slake/{split}/{qid}",
                media=Media("image", (path,)),
                question=question,
                answer=answer,
                closed=kind == "CLOSED",
                category=str(row.get("content_type", "")),
                group=name.split("/")[0],
                about=About(
                    modality_of(row.get("modality")),
                    task_of(row.get("content_type")),
                    "SLAKE",
                    name.split("/")[0],
                ),
            )
        )
    return Reading(tuple(items), tuple(skipped), "English rows")
