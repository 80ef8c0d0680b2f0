"""Text that other people wrote and whose pictures are not at hand: their wordings of questions, and captions to read.

SLAKE and VQA-Med 2019 ask about pictures that nano cannot see; an answer learnt from them would be made up. Their
*wordings* are worth having, asked about pictures whose labels are known: those of SLAKE in training, those of
VQA-Med in the evaluation only. ROCO's captions are something to read: what kind of image, and which plane, a caption
speaks of stands in the caption itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from omnivmed.spoken.attributes import named
from train.nano.data.index import share
from train.nano.text.human import named_modalities
from train.nano.text.questions import MODALITY, QA, answer_sentence
from train.nano.text.wordings import ASK, NOUNS

TASKS = ("modality", "organ", "plane")
# what is asked for; no weighting, contrast or organ system, which are other questions
ASKS_FOR = {
    "modality": r"modality|imaging method|(kind|type) of (medical )?(image|scan)|how was this image taken",
    "organ": r"part of the (human )?body|where does the (picture|image) (show|represent)",
    "plane": r"\bplane\b",
}
OTHER_QUESTION = re.compile(
    r"contrast|weight|t1|t2|flair|type of mri|transverse|angiogram|mammogra|organ|system|ct or|white"
)
OPENING = re.compile(r"(in |with )?(what|which|how|where)\b")
CAPTION_ASKS = {
    "modality": ("Which kind of image does it describe?", "What was the imaging modality?"),
    "plane": ("Which plane does it speak of?", "In which plane was it taken?"),
}
MOST_CHARS = 220
HELD_BACK = 0.1  # share of captions that only the evaluation reads


@dataclass(frozen=True)
class Wording:
    """An open question of one task. ``modality``: the kind of image it takes for granted, if any."""

    task: str
    text: str
    modality: str | None


@dataclass(frozen=True)
class Texts:
    """``wordings`` and ``captions`` are trained on, the other two only asked by the evaluation."""

    wordings: tuple[Wording, ...] = ()
    unseen_wordings: tuple[Wording, ...] = ()
    captions: tuple[QA, ...] = ()
    unseen_captions: tuple[QA, ...] = ()


def wordings_of(rows: Iterable[tuple[str, str]]) -> tuple[Wording, ...]:
    """Open questions about modality, body part or plane among (category, question) rows, each once."""
    out: dict[str, Wording] = {}
    for category, text in rows:
        text = re.sub(r"\s+", " ", text).strip()
        lower = text.lower()
        if not OPENING.match(lower) or OTHER_QUESTION.search(lower):
            continue
        for task in TASKS:
            if (task == category or task == "organ") and re.search(ASKS_FOR[task], lower):
                about = named_modalities(text)
                if len(about) < 2 and not (task == "modality" and about):
                    out.setdefault(lower, Wording(task, text, about[0] if about else None))
                break
    return tuple(out.values())


def caption_question(row: dict[str, str]) -> QA | None:
    """What one caption says of the kind of image or the plane; None where it names none or several."""
    text = re.sub(r"\s+", " ", row["caption"]).strip()
    values = {task: named(task, text) for task in CAPTION_ASKS}
    fits = [task for task, found in values.items() if len(found) == 1]
    if not fits or len(text) > MOST_CHARS:
        return None
    where = share(row["id"])
    task = fits[int(where * 1000) % len(fits)]
    asked = CAPTION_ASKS[task][int(where * 10000) % 2]
    value = values[task][0]
    answer = f"It describes {{{MODALITY[value]}}}." if task == "modality" else f"The plane is {{{value}}}."
    return QA(task, "reading", f'A caption reads: "{text}" {asked}', answer, value)


def reads_rightly(qa: QA, answer: str) -> bool:
    return named(qa.task, answer) == [qa.key]


def plainly(text: str) -> str:
    return re.sub(r"[^a-z ]", "", text.lower()).strip()


def our_own() -> list[str]:
    """Every wording of the templates, for every kind of study."""
    nouns = {noun for names in NOUNS.values() for noun in names}
    return [text.replace("{n}", noun) for task in TASKS for text in ASK[task] for noun in nouns]


def load_texts(data: Path) -> Texts:
    """From ``data``; what is missing there is empty."""

    def rows(path: str) -> list[dict[str, str]]:
        return json.loads((data / path).read_text()) if (data / path).exists() else []

    slake = wordings_of(
        (r["content_type"].lower(), r["question"]) for r in rows("text_slake/slake_en_train.json")
    )
    vqamed = wordings_of((r["category"], r["question"]) for r in rows("text_vqamed2019/qa_dev.json"))
    human = (r["question"] for r in rows("vqa_rad/qa.json"))
    known = {plainly(text) for text in (*(w.text for w in slake), *human, *our_own())}
    captions: tuple[list[QA], list[QA]] = ([], [])
    for row in rows("text_roco_ccby/captions_validation.json"):
        if (made := caption_question(row)) is not None:
            captions[share(row["id"]) < HELD_BACK].append(made)
    unseen = tuple(w for w in vqamed if plainly(w.text) not in known)
    return Texts(slake, unseen, tuple(captions[0]), tuple(captions[1]))


def fitting(wordings: Sequence[Wording], task: str, labels: dict[str, str]) -> list[Wording]:
    return [w for w in wordings if w.task == task and w.modality in (None, labels.get("modality"))]


def reworded(qa: QA, labels: dict[str, str], wordings: Sequence[Wording], rng: np.random.Generator) -> QA:
    """A sentence question in somebody else's words, where there are some; all others as they are."""
    found = fitting(wordings, qa.task, labels) if qa.form == "sentence" else []
    return replace(qa, question=found[rng.integers(len(found))].text) if found else qa


def in_their_words(labels: dict[str, str], wordings: Sequence[Wording], rng: np.random.Generator) -> list[QA]:
    """One sentence question for every task that is labelled and has a fitting wording."""
    out = []
    for task in TASKS:
        sentence = answer_sentence(task, labels) if labels.get(task) else None
        found = fitting(wordings, task, labels)
        if sentence and found:
            text = found[rng.integers(len(found))].text
            out.append(QA(task, "sentence", text, sentence, labels[task]))
    return out
