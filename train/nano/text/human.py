"""VQA-RAD's human questions. Those on modality, plane and organ are answered; of the rest nano cannot tell.

Nano v0 was not shown to beat question-only guessing on presence, size or position of findings, so these
questions, in their many human wordings, are what it learns to decline (the ship rule; docs/nano.md).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from train.nano.text.questions import MODALITY, ORGAN, QA, refusal

NAMES = {
    "ct": "CT",
    "mri": "MRI",
    "mr": "MRI",
    "x-ray": "X-ray",
    "xray": "X-ray",
    "x ray": "X-ray",
    "cxr": "X-ray",
    "radiograph": "X-ray",
    "ultrasound": "ultrasound",
}


def named_modalities(question: str) -> list[str]:
    words = re.findall(r"[a-z]+(?:-ray| ray)?", question.lower())
    return list(dict.fromkeys(NAMES[w] for w in words if w in NAMES))


def human_questions(root: Path, labels: dict[str, dict[str, str]]) -> dict[str, list[QA]]:
    """Record id -> QA. ``labels`` by record id. Order of the file kept; duplicates dropped."""
    file = root / "vqa_rad/qa.json"
    out: dict[str, list[QA]] = {}
    if not file.exists():
        return out
    for row in json.loads(file.read_text()):
        rid = f"vqa_rad/{row['image_name']}"
        if rid not in labels or row.get("split") == "test":
            continue  # the official test rows share their pictures with training: at least not their questions
        made = convert(row, labels[rid])
        if made is not None and all(made.question != o.question for o in out.get(rid, [])):
            out.setdefault(rid, []).append(made)
    return out


def convert(row: dict[str, Any], labels: dict[str, str]) -> QA | None:
    question = str(row["question"]).strip()
    kinds = str(row["question_type"]).upper()
    lower = question.lower()
    modality, organ, plane = labels.get("modality"), labels["organ"], labels.get("plane")
    asked = named_modalities(question)
    first = lower.split()[0] if lower else ""
    if kinds == "MODALITY" and modality:
        if re.search(
            r"contrast|weight|t1|t2|flair|sequence|type of mri| not |film|standing|motion|pregnan|expos",
            lower,
        ):
            return None
        if (
            re.match(r"(is|was) (this|the|it)\b", lower)
            and len(asked) == 1
            and not re.search(r"\b(ap|pa|with)\b", lower)
        ):
            yes = asked[0] == modality and all(o not in lower or o == organ for o in ORGAN)
            said = f"{{{'Yes' if yes else 'No'}}}, this is {{{MODALITY[modality]}}}"
            return QA(
                "modality",
                "yesno",
                question,
                said + ("." if yes else f" of the {{{ORGAN[organ]}}}."),
                modality,
            )
        if re.match(r"what|which|is|was|how|name", lower) and re.search(
            r"modality|(kind|type) of (image|scan|imaging)|imaging method|or an? (ct|mri|x)", lower
        ):
            return QA("modality", "sentence", question, f"This is {{{MODALITY[modality]}}}.", modality)
        return None
    if kinds == "PLANE":
        if plane is None:
            return None
        named = [p for p in ("axial", "coronal", "sagittal") if p in lower]
        if first in ("is", "was") and len(named) == 1:
            yes = named[0] == plane
            return QA(
                "plane", "yesno", question, f"{{{'Yes' if yes else 'No'}}}, the plane is {{{plane}}}.", plane
            )
        if "plane" in lower or len(named) > 1:
            return QA("plane", "sentence", question, f"The plane is {{{plane}}}.", plane)
        return None
    if kinds == "ORGAN" and re.match(r"(what|which) (organ|body|part|is the organ)", lower):
        if re.search(r"patholog|abnormal|superimposed|contrast", lower):
            return None
        return QA("organ", "sentence", question, f"It shows the {{{ORGAN[organ]}}}.", organ)
    if re.search(r"normal|health", lower) and organ == "chest":
        return None  # judged on other chest X-rays, so not to be declined here
    if kinds in ("PRES", "POS", "SIZE", "COUNT", "ABN", "ATTRIB", "COLOR"):
        return refusal(question, "image")
    return None
