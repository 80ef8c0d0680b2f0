"""One question about one study → who answers it: the file, a fixed reply, the model, or file and model together.

`reply` is a pure function of the study's facts, the question and the model's card; page, shell, HTTP and Python go
through it, and the evaluation goes round it (`AskOptions.alone`). What the file knows is said at once and marked;
where the model could tell it too, the model is asked as well, and a difference is said.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from omnivmed.spoken.attributes import ATTRIBUTES, PATTERNS, named
from omnivmed.spoken.header import (
    CHOSEN,
    ORGAN_AS,
    SPOKEN_AS,
    Row,
    body_words,
    modality_words,
    rows_of,
)
from omnivmed.spoken.language import foreign
from omnivmed.spoken.questions import Asked, asked
from omnivmed.spoken.talk import BEYOND, CANNOT_PICTURE, LARGER, LARGER_SHORT, NOUNS, OFFER, TALK, UNFAMILIAR
from omnivmed.study_info import Described

Source = Literal["file", "model", "both", "fixed"]
FILE_MARK = "from the file"
KINDS = {"image": "image", "volume": "scan", "video": "recording"}


@dataclass(frozen=True)
class Knows:
    """What a card says of its model.

    spoken: attributes it may state, by kind of study; None for a model of which nothing is known, which is asked
    everything that the file does not answer.
    """

    name: str = "The model"
    description: str = "a vision-language model"
    trust: str = ""
    spoken: Mapping[str, Sequence[str]] | None = None


@dataclass(frozen=True)
class Reply:
    """text: said at once. source: who said it. ask: what the model is asked next, None: nothing more. quiet: its
    words are compared with the file's and only a difference is said. known: the file's values, by attribute.
    offers: questions about this study that work."""

    text: str
    source: Source
    ask: str | None = None
    quiet: bool = False
    known: Mapping[str, str] = field(default_factory=dict)
    offers: tuple[str, ...] = ()


def reply(study: Described, question: str, knows: Knows, before: str = "") -> Reply | None:
    """Who answers this question; None: the model alone, with the question as it is.

    before: the question asked before this one, for one that leans on it ("And in one word?").
    """
    if foreign(question):
        return _talk(study, "language", knows)
    said = asked(question)
    if said.group == "unknown" and before and leaning(said.text):
        said = asked(before)
    if said.group == "talk":
        return _talk(study, said.topic, knows)
    if said.group == "file":
        return _file(study, said, knows)
    if said.group == "picture":
        return _picture(study, said, question, knows)
    if knows.spoken is None:
        return None
    return refused(study, BEYOND[said.topic], knows, said.topic)


def leaning(text: str) -> bool:
    """Whether a question has no topic of its own: "And in one word?", "so?"."""
    return (
        len(text.split()) <= 6
        and re.match(r"(?:and|so|but|or|in|really|please|briefly|shorter|again|in)\b", text) is not None
    )


# ------------------------------------------------------------------------------------------------ offers


def speaks(study: Described, attribute: str, knows: Knows) -> bool:
    """Whether the model may state this attribute of this kind of study."""
    return knows.spoken is not None and attribute in knows.spoken.get(study.kind, ())


def suggestions(study: Described, knows: Knows, model: bool | None = None, most: int = 4) -> list[str]:
    """Questions about this study that are answered: by the file, or by a model that was measured to know it.

    model: whether the model knows pictures like this one; None: not looked at yet, then nothing is offered that only
    the model could tell of a kind it may not know (a clip).
    """
    keys, kind = {row.key for row in rows_of(study)}, KINDS[study.kind]
    may = study.kind != "video" if model is None else model
    out: list[str] = []

    def offer(question: str, *, file: bool, attribute: str = "") -> None:
        if file or (may and attribute and speaks(study, attribute, knows)):
            out.append(question)

    offer(f"What kind of {kind} is this?", file="modality" in keys, attribute="modality")
    offer("Which part of the body is shown?", file="organ" in keys, attribute="organ")
    if study.kind == "volume":
        offer("In which plane was this scan taken?", file="plane" in keys, attribute="plane")
        offer("How far apart are the slices?", file="step" in keys)
        offer("How thick are the slices?", file="thickness" in keys)
        offer("How many slices are there?", file=True)
    if study.kind == "image":
        chest = study.modality in ("CR", "DX") and study.body_part in ("CHEST", "THORAX")
        offer("Is this a PA or an AP view?", file="view" in keys, attribute="view" if chest else "")
    if study.kind == "video":
        offer("How long is the clip?", file="duration" in keys)
        offer("What is the frame rate?", file="rate" in keys)
        offer("How many frames are there?", file=True)
    offer(f"How large is the {NOUNS[study.kind]}?", file=True)
    offer("Which window is used?", file="window" in keys)
    offer("Is it in colour?", file=True)
    return out[:most]


def refused(
    study: Described, why: str, knows: Knows, topic: str = "", model: bool | None = None, **more: str
) -> Reply:
    """A refusal: why, two questions that work, and that a larger model may know more."""
    words = {"name": knows.name, "noun": NOUNS[study.kind], **more}
    offers = tuple(q for q in suggestions(study, knows, model, 9) if asked(q).topic != topic)[:2]
    tail = "" if topic in ("person", "advice") else f" {LARGER_SHORT}"
    return Reply(f"{why.format(**words)}{offered(offers)}{tail}", "fixed", offers=offers)


def unfamiliar(study: Described, knows: Knows, kinds: str) -> Reply:
    """What is said where a picture is unlike all that the model was trained on (`spoken.familiar`)."""
    return refused(study, UNFAMILIAR, knows, "unfamiliar", model=False, kinds=kinds)


def offered(offers: Sequence[str]) -> str:
    """ " You can ask: “…” or “…”" """
    if not offers:
        return ""
    return " " + OFFER.format(offers=" or ".join(f"“{q}”" for q in offers))


# ------------------------------------------------------------------------------------------------ talk


def _talk(study: Described, topic: str, knows: Knows) -> Reply:
    spoken = () if knows.spoken is None else knows.spoken.get(study.kind, ())
    names = {"modality": "its kind", "organ": "the body part", "plane": "the plane", "view": "PA or AP"}
    told = [names[a] for a in ATTRIBUTES if a in spoken and a in names]
    words = {
        "name": knows.name,
        "description": knows.description,
        "trust": knows.trust or "nothing is known here about what it answers well.",
        "noun": NOUNS[study.kind],
        "knows": f": {', '.join(told)}" if told else "",
        "larger": LARGER.format(name=knows.name),
    }
    offers = tuple(suggestions(study, knows, most=2))
    quiet = topic.startswith("word:") or topic in ("bye", "sure", "privacy", "larger")
    return Reply(TALK[topic].format(**words) + ("" if quiet else offered(offers)), "fixed", offers=offers)


# ------------------------------------------------------------------------------------------------ the file

#: topic → keys of rows that answer it, the first ones needed; the rest said beside them.
FILE_ROWS: dict[str, tuple[str, ...]] = {
    "thickness": ("thickness", "step"), "step": ("step", "thickness"), "extent": ("extent",),
    "spacing": ("spacing", "step"), "slices": ("slices",), "frames": ("frames",), "rate": ("rate",),
    "duration": ("duration",),
    "matrix": ("matrix", "slices", "frames"), "window": ("window",), "colour": ("colour",), "bits": ("bits",),
    "unit": ("unit",), "edges": ("edges", "laterality"), "laterality": ("laterality", "edges"),
    "timing": ("repetition_time_ms", "echo_time_ms"), "field_tesla": ("field_tesla",), "tube_kv": ("tube_kv",),
    "contrast": ("contrast",), "view": ("view",), "plane": ("plane",), "sequence": ("sequence",),
}  # fmt: skip
#: What is missing, for "The file does not say …".
SILENT: dict[str, str] = {
    "thickness": "how thick the slices are", "step": "how far apart slices lie",
    "extent": "how much of the body is covered", "spacing": "how large a pixel is",
    "rate": "how many frames a second were taken", "duration": "how long the clip is",
    "window": "a window", "bits": "how many bits a pixel has", "unit": "what unit its numbers are in",
    "edges": "which side is which", "laterality": "a side", "timing": "repetition or echo time",
    "field_tesla": "the field strength", "tube_kv": "the tube voltage",
    "contrast": "whether a contrast agent was given", "slices": "slices", "frames": "frames",
}  # fmt: skip
ALONE = {
    "slices": "This is one {noun}, not a stack of slices.", "frames": "This is a {noun}, not a clip: it has no frames.",
    "rate": "This is a {noun}, not a clip.", "duration": "This is a {noun}, not a clip.",
    "thickness": "This is one {noun}, not a stack of slices.", "step": "This is one {noun}, not a stack of slices.",
}  # fmt: skip


def _file(study: Described, said: Asked, knows: Knows) -> Reply:
    rows = {row.key: row for row in rows_of(study)}
    if said.topic == "header":
        told = "; ".join(f"{row.label.lower()} {row.value}" for row in rows.values())
        return Reply(f"{FILE_MARK.capitalize()}: {told}.", "file")
    parts = [said]
    if " and " in said.text:
        halves = [asked(half) for half in said.text.split(" and ")]
        if all(half.group == "file" for half in halves) and len({half.topic for half in halves}) == len(
            halves
        ):
            parts = halves
    sentences = [_one(study, rows, part) for part in parts]
    text = " ".join(sentence for sentence, _ in sentences)
    if any(found for _, found in sentences):
        return Reply(text, "file")
    offers = tuple(q for q in suggestions(study, knows, None, 9) if asked(q).topic != said.topic)[:2]
    return Reply(text + offered(offers), "file", offers=offers)


def _one(study: Described, rows: Mapping[str, Row], said: Asked) -> tuple[str, bool]:
    """(sentence, whether the file knew) of one topic."""
    topic, noun = said.topic, NOUNS[study.kind]
    needed, *beside = FILE_ROWS[topic]
    if needed in rows:
        told = [rows[needed], *(rows[key] for key in beside if key in rows)]
        if topic == "contrast":
            told[0] = rows["contrast"]
            words = (
                "names a contrast agent"
                if "named" in rows["contrast"].value
                else "says that no contrast agent was given"
            )
            return f"The header {words} ({FILE_MARK}).", True
        return f"{sentence(told)}.", True
    if topic in ALONE and (
        (study.kind != "volume") if topic in ("slices", "thickness", "step") else study.kind != "video"
    ):
        if topic == "slices" and study.kind == "video":
            topic, needed = "frames", "frames"
            return f"{sentence([rows['frames']])}.", True
        if topic == "frames" and study.kind == "volume":
            return f"{sentence([rows['slices']])}.", True
        return ALONE[topic].format(noun=noun), True
    near = [rows[key] for key in beside if key in rows]
    tail = f" It tells: {sentence(near)[:1].lower()}{sentence(near)[1:]}." if near else ""
    only = " Neither is it guessed from the picture." if topic == "contrast" else ""
    return f"The file does not say {SILENT[topic]}.{only}{tail}", bool(near)


#: How the value of a row is said; any other as "label value".
SAID: dict[str, str] = {
    "slices": "{} slices", "frames": "{} frames", "rate": "{}", "duration": "{} long", "matrix": "{}",
    "step": "{} from slice to slice", "thickness": "slices {} thick", "spacing": "pixels of {}", "colour": "{}",
    "unit": "{}", "extent": "{} are covered",
}  # fmt: skip


def sentence(rows: Sequence[Row]) -> str:
    """ "112 slices (from the file)": rows as one line, and where they are from."""
    told = ", ".join(
        SAID[row.key].format(row.value) if row.key in SAID else f"{row.label.lower()} {row.value}"
        for row in rows
    )
    told = told[:1].upper() + told[1:]
    if all(row.source == CHOSEN for row in rows):
        return f"{told} (chosen by this program; the file asks for none)" if rows[0].key == "window" else told
    return f"{told} ({FILE_MARK})"


# ------------------------------------------------------------------------------------------------ the picture

CANON = {
    "modality": "What kind of {kind} is this?",
    "organ": "Which part of the body is shown?",
    "plane": "In which plane was this {kind} taken?",
    "view": "Is this a PA or an AP view?",
    "describe": "Describe this {thing}.",
}
THINGS = {"image": "image", "volume": "scan", "video": "video"}


def known_of(study: Described) -> dict[str, str]:
    """The file's values in the words in which a model's sentence would name them, by attribute."""
    told = study.technical
    found = {
        "modality": SPOKEN_AS.get(study.modality or ""),
        "organ": ORGAN_AS.get(study.body_part or ""),
        "plane": study.plane if study.plane in PATTERNS["plane"] else None,
        "view": told["view_position"] if told.get("view_position") in ("PA", "AP") else None,
    }
    return {attribute: str(value) for attribute, value in found.items() if value is not None}


def file_says(study: Described, attribute: str) -> str | None:
    """One sentence of what the file tells of an attribute, or None."""
    noun = NOUNS[study.kind]
    if attribute == "modality" and (words := modality_words(study)) is not None:
        if study.modality_from == "numbers":
            return f"This is {words} ({FILE_MARK}: its numbers are Hounsfield units)."
        return f"This is {words} ({FILE_MARK})."
    if attribute == "organ" and (part := body_words(study)) is not None:
        return f"The body part is the {part} ({FILE_MARK})."
    rows = {row.key: row for row in rows_of(study)}
    if attribute in ("plane", "view", "sequence") and attribute in rows:
        extra = "; it does not name the weighting (T1, T2 …)" if attribute == "sequence" else ""
        value = rows[attribute].value
        lead = (
            f"This {noun} is cut in the {value} plane"
            if attribute == "plane" and value != "oblique"
            else f"The {rows[attribute].label.lower()} is {value}"
        )
        return f"{lead} ({FILE_MARK}{extra})."
    return None


def _picture(study: Described, said: Asked, question: str, knows: Knows) -> Reply | None:
    topic, known = said.topic, known_of(study)
    if topic == "describe":
        return _describe(study, known, question, knows)
    told = file_says(study, topic)
    may = knows.spoken is None or speaks(study, topic, knows)
    canon = CANON.get(topic, "").format(kind=KINDS[study.kind])
    if told is not None:
        text = polar(topic, said.text, known.get(topic)) + told
        compare = topic in known and may and bool(canon) and knows.spoken is not None
        return Reply(text, "file", ask=canon if compare else None, quiet=True, known=known if compare else {})
    if may:
        return None
    return refused(study, CANNOT_PICTURE[topic], knows, topic)


def polar(attribute: str, question: str, value: str | None) -> str:
    """ "Yes. " or "No. " to a question that names one value: "Is this an MRI?"; empty for any other."""
    if value is None or not re.match(r"(?:is|was|are|were|isn't|so|this is|it is)\b", question):
        return ""
    asked_for = named(attribute, question)
    if len(asked_for) != 1 or re.search(r"\bor\b", question):
        return ""
    return "Yes. " if asked_for == [value] else "No. "


def _describe(study: Described, known: Mapping[str, str], question: str, knows: Knows) -> Reply | None:
    """What the file tells in one sentence, then the model's own description where it may give one."""
    noun = NOUNS[study.kind]
    rows = {row.key: row for row in rows_of(study)}
    what = modality_words(study)
    part = body_words(study)
    plane = f"{study.plane} " if study.plane and study.plane != "oblique" and study.kind != "video" else ""
    size = {
        "image": rows["matrix"].value,
        "volume": f"{study.shape[0]} slices",
        "video": f"{study.shape[0]} frames",
    }[study.kind]
    if what is None:
        lead = f"This is a {noun} of {size} ({FILE_MARK}, which does not say what it shows)."
    else:
        article, word = what.split(" ", 1)
        of = f" of the {part}" if part else ""
        if plane:
            article, word = ("an" if plane[0] in "ao" else "a"), plane + word
        why = ": its numbers are Hounsfield units" if study.modality_from == "numbers" else ""
        lead = f"This is {article} {word}{of}, {size} ({FILE_MARK}{why})."
    if knows.spoken is None:
        return Reply(f"{lead} ", "both", ask=question, known=known)
    missing = [a for a in ("modality", "organ") if a not in known and speaks(study, a, knows)]
    if what is not None and not missing:  # nothing that the file does not know is left for a small model
        return Reply(
            lead,
            "file",
            ask=CANON["modality"].format(kind=KINDS[study.kind])
            if "modality" in known and speaks(study, "modality", knows)
            else None,
            quiet=True,
            known=known,
        )
    if not knows.spoken.get(study.kind):
        return refused(study, CANNOT_PICTURE["describe"], knows, "describe")
    ask = CANON["describe"].format(thing=THINGS[study.kind])
    return Reply(f"{lead} ", "both", ask=ask, known=known)


def difference(known: Mapping[str, str], text: str, name: str) -> str:
    """What is said of a model's words beside the file's: where they differ, both; empty where they do not."""
    out = []
    for attribute, value in known.items():
        other = [v for v in named(attribute, text) if v != value]
        if other and value not in named(attribute, text):
            out.append(f"The file says {value}; {name} alone would have said {other[0]}.")
    return " ".join(out)


__all__ = ["FILE_MARK", "Knows", "Reply", "Source", "difference", "reply", "suggestions", "unfamiliar"]
