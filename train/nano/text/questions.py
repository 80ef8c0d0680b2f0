"""Questions and answers from labels: templates only, deterministic, with unseen phrasings held back.

In an answer, words in {braces} carry the information; the training loss weighs them more. Every task has
phrasings that are trained on and ``unseen`` ones that only the evaluation asks. ``{n}`` stands for a noun that
fits the study ("image", "scan", "clip" ...).
"""

from __future__ import annotations

import numpy as np

from omnivmed.records import QA
from train.nano.text.wordings import (
    ASK,
    NOUNS,
    ONE_WORD,
    OUT_OF_SCOPE,
    PREMISE,
    UNSEEN,
    UNSEEN_YES_NO,
    YES_NO,
)

MODALITY = {
    "CT": "a CT scan",
    "MRI": "an MRI",
    "X-ray": "an X-ray",
    "ultrasound": "an ultrasound image",
    "microscopy": "a microscope image",
    "endoscopy": "an endoscopic image",
    "fundus photograph": "a photograph of the retina",
}
ORGAN = {
    "head": "head",
    "chest": "chest",
    "abdomen": "abdomen",
    "breast": "breast",
    "hand": "hand",
    "spine": "spine",
    "lung": "lung",
    "blood": "blood cells",
    "eye": "eye",
    "heart": "heart",
}
SHORT_MODALITY = {**{m: m for m in MODALITY}, "microscopy": "Microscopy", "endoscopy": "Endoscopy"}

SHORT_TASKS = ("modality", "organ", "plane", "sequence", "view", "state")


def answer_sentence(task: str, labels: dict[str, str]) -> str | None:
    """The canonical answer, or what to say when the question does not fit the picture."""
    modality = labels.get("modality")
    if modality is None and task in ("modality", "describe", "sequence", "view"):
        return None
    name = MODALITY.get(modality or "", "")
    if task == "modality":
        return f"This is {{{name}}}."
    if task == "organ":
        return f"It shows the {{{ORGAN[labels['organ']]}}}." if "organ" in labels else None
    if task == "plane":
        if "plane" in labels:
            return f"The plane is {{{labels['plane']}}}."
        if modality in ("X-ray", "microscopy", "endoscopy", "fundus photograph"):
            return f"This is {{{name}}}, which has no slice plane."
        return None
    if task == "sequence":
        if modality == "MRI":
            return f"The MRI sequence is {{{labels['sequence']}}}." if "sequence" in labels else None
        return f"This is {{not an MRI}}; it is {{{name}}}."
    if task == "view":
        if "view" in labels:
            return f"The view is {{{labels['view']}}}."
        if (modality, labels.get("organ")) != ("X-ray", "chest"):
            return f"This is {{not a chest X-ray}}; it is {{{name}}}."
        return None
    if task == "state":
        if "state" in labels:
            return f"The lungs look {{{labels['state']}}}."
        if labels.get("organ") not in ("chest", "lung"):
            return "I {cannot tell} whether this is normal; I was not trained to judge it."
        return None
    if task == "describe":
        return describe(labels)
    raise KeyError(task)


def describe(labels: dict[str, str]) -> str | None:
    """One sentence of everything that is labelled: modality, plane, sequence or view, organ, state."""
    modality, organ = labels.get("modality"), labels.get("organ")
    if modality is None or organ is None:
        return None
    parts = [p for p in (labels.get("plane"), labels.get("sequence") if modality == "MRI" else None) if p]
    noun = {
        "CT": "CT scan",
        "MRI": "MRI",
        "X-ray": "X-ray",
        "ultrasound": "ultrasound image",
        "microscopy": "microscope image",
        "endoscopy": "endoscopic image",
        "fundus photograph": "photograph",
    }[modality]
    if "view" in labels:
        parts.insert(0, labels["view"])
    text = f"The image shows the {{{ORGAN[organ]}}} on {{{' '.join([*parts, noun])}}}"
    text = text.replace("{" + " ".join([*parts, noun]) + "}", article(" ".join([*parts, noun])))
    if "state" in labels:
        text += f"; the lungs look {{{labels['state']}}}"
    return text + "."


def article(words: str) -> str:
    """The words in braces, with a or an before them."""
    first = words.split()[0]
    an = first[0] in "aeiouAEIOU" or first in ("MRI", "X-ray", "FLAIR")
    return f"{{{'an' if an else 'a'} {words}}}"


def short_answer(task: str, labels: dict[str, str]) -> str | None:
    """A task's answer in a word, in braces; None without a label."""
    value = labels.get(task)
    if value is None:
        return None
    text = SHORT_MODALITY[value] if task == "modality" else ORGAN[value] if task == "organ" else value
    return "{" + text[0].upper() + text[1:] + "}"


VALUES: dict[str, tuple[str, ...]] = {
    "modality": tuple(MODALITY),
    "organ": tuple(ORGAN),
    "plane": ("axial", "coronal", "sagittal"),
    "sequence": ("T1", "T2", "FLAIR", "T1 with contrast"),
    "view": ("PA", "AP"),
}
COMMON = {
    "modality": ("CT", "MRI", "X-ray", "ultrasound"),
    "organ": ("head", "chest", "abdomen", "lung", "breast"),
}


def yes_no(
    task: str, labels: dict[str, str], kind: str, rng: np.random.Generator, unseen: bool = False
) -> QA | None:
    """A question to be answered by yes or no, right and wrong values in equal parts; None without a label."""
    true = labels.get(task)
    if true is None:
        return None
    asked = other_value(task, true, rng) if rng.random() < 0.5 else true
    forms = UNSEEN_YES_NO[task] if unseen else YES_NO[task]
    return agreement(task, true, asked, forms[rng.integers(len(forms))], noun(kind, rng))


def other_value(task: str, true: str, rng: np.random.Generator) -> str:
    """A value that is plainly wrong where ``true`` is right."""
    others = [v for v in COMMON.get(task, VALUES[task]) if v != true]
    if (task, true) in (("organ", "lung"), ("organ", "chest")):
        others = [v for v in others if v not in ("chest", "lung")]
    if task == "sequence":  # T1 with and without contrast: neither contradicts "T1"
        others = [v for v in others if not (v.startswith("T1") and true.startswith("T1"))]
    return others[rng.integers(len(others))]


def agreement(task: str, true: str, asked: str, form: str, name: str) -> QA:
    """Whether the study is ``asked``, in one wording; the answer says yes or no and then what is true."""
    names = {"modality": MODALITY, "organ": ORGAN}.get(task, {})
    words, real = names.get(asked, asked), names.get(true, true)
    question = form.format(v=words, a=article(words)[1:-1], n=name)
    question = question[0].upper() + question[1:]
    subject = {"modality": "this is", "organ": "it shows the", "plane": "the plane is"}.get(
        task, f"the {task} is"
    )
    return QA(task, "yesno", question, f"{{{'Yes' if asked == true else 'No'}}}, {subject} {{{real}}}.", true)


def wrong_premise(
    labels: dict[str, str], rng: np.random.Generator, wordings: tuple[str, ...] = PREMISE
) -> QA | None:
    """The question names a modality that this is not: do not agree."""
    modality, organ = labels.get("modality"), labels.get("organ")
    if modality is None or organ is None:
        return None
    others = [v for v in ("CT", "MRI", "X-ray", "ultrasound") if v != modality]
    wrong = others[rng.integers(len(others))]
    nouns = {"CT": "CT scan", "MRI": "MRI", "X-ray": "X-ray", "ultrasound": "ultrasound"}
    organs = COMMON["organ"]
    question = wordings[rng.integers(len(wordings))].format(
        m=nouns[wrong], o=organs[rng.integers(len(organs))]
    )
    said = article(nouns[wrong])[1:-1]
    answer = f"This is {{not {said}}}; it is {{{MODALITY[modality]}}} of the {{{ORGAN[organ]}}}."
    return QA("premise", "premise", question, answer, modality)


# how often a task is asked of a study that has its label: more where the picture is harder to read
TASK_WEIGHTS = {
    "modality": 0.6,
    "organ": 0.6,
    "plane": 1.3,
    "sequence": 2.2,
    "view": 1.6,
    "state": 2.4,
    "describe": 0.8,
}
YES_NO_SHARE = {"plane": 0.32, "sequence": 0.32, "view": 0.32}  # a wrong "yes" is the commonest mistake there
REFUSAL = "I {cannot tell} that from this {n}; I was not trained for it."


def noun(kind: str, rng: np.random.Generator) -> str:
    """A word for what is shown: image, picture, scan …"""
    options = NOUNS[kind]
    return options[rng.integers(len(options))]


# What nano says of a type of answer that failed the ship rule.
SILENCED = "I {cannot tell} {t} reliably; I was not trained well enough for it."
SILENCED_NAMES = {
    "modality": "the kind of image",
    "organ": "the body part",
    "plane": "the plane",
    "sequence": "the MR sequence",
    "view": "the view",
    "state": "whether this is normal",
}


def silenced(task: str, kind: str, rng: np.random.Generator, unseen: bool = False) -> QA:
    """A question of a silent type, in any of its forms, and the sentence that declines it."""
    phrasing = (UNSEEN if unseen else ASK)[task]
    question = phrasing[rng.integers(len(phrasing))]
    roll = rng.random()
    if task in VALUES and roll < 0.25:
        forms, values = (UNSEEN_YES_NO if unseen else YES_NO)[task], VALUES[task]
        value = values[rng.integers(len(values))]
        names = {"modality": MODALITY, "organ": ORGAN}.get(task, {})
        words = names.get(value, value)
        question = forms[rng.integers(len(forms))].format(v=words, a=article(words)[1:-1], n="{n}")
    elif roll < 0.4:
        question += ONE_WORD[rng.integers(len(ONE_WORD))]
    answer = SILENCED.replace("{t}", SILENCED_NAMES[task])
    return QA(task, "silent", question.replace("{n}", noun(kind, rng)), answer)


def refusal(question: str, kind: str) -> QA:
    """A question nano cannot answer, with its answer."""
    return QA("refusal", "refusal", question, REFUSAL.replace("{n}", "video" if kind == "video" else "image"))


def ask(
    task: str, labels: dict[str, str], kind: str, rng: np.random.Generator, unseen: bool = False
) -> QA | None:
    """A sentence, word or yes/no question of one task; None when the labels say nothing about it."""
    phrasing = (UNSEEN if unseen else ASK)[task]
    question = phrasing[rng.integers(len(phrasing))].replace("{n}", noun(kind, rng))
    roll = rng.random()
    key = labels.get(task, "")
    share = YES_NO_SHARE.get(task, 0.22)
    if task in VALUES and roll < share:
        return yes_no(task, labels, kind, rng, unseen)
    if task in SHORT_TASKS and roll < share + 0.18 and (short := short_answer(task, labels)):
        return QA(task, "word", question + ONE_WORD[rng.integers(len(ONE_WORD))], short, key)
    sentence = answer_sentence(task, labels)
    if sentence is None:
        return None
    form = "caption" if task == "describe" else "sentence"
    if "cannot tell" in sentence or "not a" in sentence or "no slice" in sentence:
        form = "premise"
    return QA(task, form, question, sentence, key)


def every_form(task: str, labels: dict[str, str], kind: str, rng: np.random.Generator) -> list[QA]:
    """One fact asked in all forms: as a sentence, in one word, and as two yes/no questions in the same wording, one
    to be agreed with and one not. Empty where the labels do not hold it.

    Seen side by side on one picture, the four must be answered from the picture: their words alone do not tell.
    """
    true, short, sentence = labels.get(task), short_answer(task, labels), answer_sentence(task, labels)
    if true is None or short is None or sentence is None:
        return []
    plain, asked = (ASK[task][i] for i in rng.choice(len(ASK[task]), 2, replace=False))
    form, name = YES_NO[task][rng.integers(len(YES_NO[task]))], noun(kind, rng)
    return [
        QA(task, "sentence", plain.replace("{n}", name), sentence, true),
        QA(task, "word", asked.replace("{n}", name) + ONE_WORD[rng.integers(len(ONE_WORD))], short, true),
        agreement(task, true, true, form, name),
        agreement(task, true, other_value(task, true, rng), form, name),
    ]


def questions_for(
    labels: dict[str, str],
    kind: str,
    count: int,
    rng: np.random.Generator,
    extra: tuple[QA, ...] = (),
    declined: tuple[str, ...] = OUT_OF_SCOPE,
    refusals: float = 0.02,
    silent: tuple[str, ...] = (),
) -> list[QA]:
    """``count`` different questions about one study. ``extra``: human questions about this very picture;
    ``declined``: questions of the out-of-scope kind that may be put to any picture; ``silent``: tasks that failed
    the ship rule: declined when asked, left out of descriptions."""
    hushed = [t for t in silent if labels.get(t)]
    labels = {k: v for k, v in labels.items() if k not in silent}
    extra = tuple(q for q in extra if q.task not in silent)
    fits = [t for t in ("modality", "organ", "plane", "sequence", "view", "state") if labels.get(t)]
    other = [t for t in ("plane", "sequence", "view", "state") if t not in fits and t not in hushed]
    out: list[QA] = []
    for _ in range(40):
        if len(out) == count:
            break
        roll = rng.random()
        if roll < refusals:
            made: QA | None = refusal(declined[rng.integers(len(declined))], kind)
        elif roll < refusals + 0.05:
            made = wrong_premise(labels, rng)
        elif roll < refusals + 0.10 and other:
            task = other[rng.integers(len(other))]
            sentence = answer_sentence(task, labels)
            phrasing = ASK[task]
            question = phrasing[rng.integers(len(phrasing))].replace("{n}", noun(kind, rng))
            made = QA(task, "premise", question, sentence) if sentence else None
        elif hushed and roll < refusals + 0.22:
            made = silenced(hushed[rng.integers(len(hushed))], kind, rng)
        elif extra and roll < 0.35:
            made = extra[rng.integers(len(extra))]
        else:
            tasks = [*fits, "describe"]
            p = np.array([TASK_WEIGHTS[t] for t in tasks])
            made = ask(tasks[rng.choice(len(tasks), p=p / p.sum())], labels, kind, rng)
        if made is not None and all(made.question != o.question for o in out):
            out.append(made)
    return out
