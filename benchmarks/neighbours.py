"""python -m benchmarks.neighbours FILE=PART …: is a slice better asked about alone, or with its neighbours?

Each FILE is a volume that shows PART (head, chest, abdomen …). At even places of it the same three questions are asked:
which part, which plane, which kind of study. The slice is given alone, as `AskOptions.place` does (a still at the whole
budget of a still), or in the middle of a small volume of its true neighbours (1 or 2 on either side, at the budget of
slices). The right words: PART as said, plane and kind as the file says. Right are answers with the right word
and no other of the same kind; all answers are the model's own, nothing held back.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

QUESTIONS = {
    "part": "Which part of the body is shown?",
    "plane": "Which plane is this?",
    "kind": "What kind of study is this?",
}
WORDS = {
    "part": {
        "head": r"head|brain|skull",
        "chest": r"chest|lungs?|thorax|heart",
        "abdomen": r"abdomen|abdominal|pelvis|liver",
        "spine": r"spine|spinal|neck",
    },
    "plane": {"axial": "axial", "coronal": "coronal", "sagittal": "sagittal"},
    "kind": {"CT": r"ct|computed tomography", "MR": r"mri?|magnetic", "X-ray": r"x-?ray|radiograph"},
}
AROUND = (0, 1, 2)


def right(topic: str, truth: str, said: str) -> bool:
    """Whether the true word stands in the answer, and none of the others of its kind."""
    found = {
        name for name, word in WORDS[topic].items() if re.search(rf"\b(?:{word})\b", said, re.IGNORECASE)
    }
    return found == {truth}


def cases(files: list[str], places: int, budget: Any) -> Iterator[tuple[int, Any, dict[str, str]]]:
    """(neighbours on either side, patches, the truth) of every place of every file."""
    from omnivmed.io import open_study
    from omnivmed.vision import prepare, prepare_place

    for named in files:
        path, _, part = named.rpartition("=")
        with open_study(path) as study:
            truth = {"part": part, "plane": study.plane or "", "kind": study.modality or ""}
            last = study.shape[0] - 1
            for at in np.linspace(0.2 * last, 0.8 * last, places).round().astype(int):
                for k in AROUND:
                    index = np.arange(max(0, at - k), min(last, at + k) + 1)
                    patches = (
                        prepare(study, budget, frame_index=index)
                        if k
                        else prepare_place(study, int(at), budget)
                    )
                    yield k, patches, truth


def main(argv: list[str] | None = None) -> int:
    """0 when done."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.neighbours", description=__doc__)
    parser.add_argument("files", nargs="+", metavar="FILE=PART")
    parser.add_argument("--places", type=int, default=5, help="slices of each file")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--said", type=Path, help="write every answer there")
    args = parser.parse_args(argv)
    from omnivmed.inference import load_model

    model: Any = load_model(args.model)
    batch = model.batch()
    read, tokens = [], dict.fromkeys(AROUND, 0)
    for k, patches, truth in cases(args.files, args.places, batch.budget):
        one = batch.see(patches, 0.1)
        tokens[k] += one.mask.kept
        read.append((k, one, truth))
    said = batch.answers([(one, list(QUESTIONS.values())) for _, one, _ in read], 16, hold_back=False)
    count: dict[tuple[int, str], list[bool]] = {}
    lines = []
    for (k, _, truth), answers in zip(read, said, strict=True):
        for topic, answer in zip(QUESTIONS, answers, strict=True):
            lines.append(f"{k}\t{topic}\t{truth[topic]}\t{answer}")
            if truth[topic] in WORDS[topic]:
                count.setdefault((k, topic), []).append(right(topic, truth[topic], answer))
    if args.said:
        args.said.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("| neighbours on either side | tokens a question | part | plane | kind |\n|---|---|---|---|---|")
    for k in AROUND:
        rows = [count.get((k, topic), []) for topic in QUESTIONS]
        shown = " | ".join(f"{sum(row)} of {len(row)}" for row in rows)
        print(f"| {k or 'none: alone'} | {tokens[k] / max(1, len(read) // len(AROUND)):.0f} | {shown} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
