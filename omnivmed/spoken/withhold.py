"""The ship rule at the answer: what a model was measured to guess, it does not say.

A model's card may name attributes that are ``silent`` for a kind of study: they did not beat guessing on unseen
patients. Text of the model passes a `Withhold` sentence by sentence. A sentence that states a silent attribute of
the study becomes "I cannot tell ... reliably."; from a description only the silent words are cut ("an axial T1 MRI"
→ "an axial MRI"); a "Yes." or "No." to a question about a silent attribute states it too. All else passes as it is:
general knowledge ("The heart pumps blood."), and sentences that only mention a word.

A pure function of question and text: the evaluation reads its answers through the same code.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from omnivmed.spoken.attributes import ATTRIBUTES, PATTERNS, named

#: What cannot be told, by attribute; {one}, {noun}: the study.
CANNOT = {
    "modality": "I cannot tell reliably what kind of {noun} {one} is.",
    "organ": "I cannot tell the body part of {one} reliably.",
    "plane": "I cannot tell the plane of {one} reliably.",
    "sequence": "I cannot tell the MR sequence of {one} reliably.",
    "view": "I cannot tell the view of {one} reliably.",
    "state": "I cannot tell reliably whether {one} is normal.",
}
NOUN = {"image": "image", "volume": "scan", "video": "recording"}
ONE = {"image": "one picture", "volume": "a volume", "video": "a clip"}
OF_KIND = {"image": "a picture", "volume": "a volume", "video": "a clip"}
ONE_SLICE = {"sequence", "plane"}  # of these a still is a slice
NAMES = {
    "modality": "the kind of study",
    "organ": "the body part",
    "plane": "the plane",
    "sequence": "the MR sequence",
    "view": "the view",
    "state": "normal or abnormal",
}
#: What the note about things held back begins with.
HELD_NOTE = "Held back: "
#: Words that tell what a question is about, for those who mistype them.
TELLING = re.findall(
    r"\w+",
    "modality method technique examination ultrasound microscope microscopy endoscopic endoscopy retina radiograph "
    "organ region anatomy abdomen breast chest heart brain spine plane orientation axial coronal sagittal sequence "
    "weighting weighted contrast projection normal abnormal abnormality healthy disease finding",
)
GREETING = r"^\W*(?:(?:ok|okay|hi|hello|so|and|now|well|please|doctor|quick question|one question)\b\W*)+"
LONGEST = 400  # characters held back while a sentence does not end

VALUE = {a: "(?:" + "|".join(f"(?:{p})" for p in values.values()) + r")\w*" for a, values in PATTERNS.items()}
#: Words that only a question about the attribute itself has.
ASKS = {
    "modality": r"modalit|imaging (?:method|technique|type)|kind of|type of|sort of|technique|examination",
    "organ": r"\borgan|body|region|anatom|(?:which|what) part|part of the|\bwhere\b",
    "plane": r"\bplane|orient|\baxis|sliced|\bcut\b",
    "sequence": r"sequence|weight|\bcontrast\b|type of mri|kind of mri",
    "view": r"\bview|projection|\bbeam|\bside\b|\bfilm",
    "state": r"normal|health|abnormal|\bfine\b|wrong|disease|finding|patholog|\bsick|\bok\b|okay|\bill\b",
}
THING = (
    r"(?:image|picture|photograph|photo|scan|slices?|volume|study|series|stack|clip|video|recording|film|"
    r"x-?ray|radiograph|ct|mri?|ultrasound)"
)
#: The question speaks of the open study.
POINTS = (
    rf"\b(?:this|these|here|my|the (?:\w+ )?{THING})\b|\b(?:is|are|was|be) (?:shown|visible|seen|displayed)\b|"
    r"\b(?:am|are|do|can|could) (?:i|we|you) (?:see|look|looking|seeing|recogni[sz]e)|\byou see\b"
)
#: The question asks for knowledge, not about a study; only where it does not point at one.
GENERAL = (
    r"^\W*(?:(?:please|hi|hello|so|ok|and|can you|could you|tell me)\W+)*(?:what(?:'s| is| are) (?:an?|meant)\b|"
    r"what(?:'s| is| are)(?: the)? (?:difference|meaning|purpose|function|advantage|point|role)|"
    r"what (?:is|are) [\w-]+\W*$|what (?:do|does|did|can) .*\b(?:do|mean|stand for|need)\b|explain\b|define\b|why\b|"
    r"when\b|who\b|how (?:do|does|is|are|many|much|long)\b|(?:tell me )?a fact\b|name (?:two|three|four|five|a|some)\b|"
    r"translate\b|write\b|count\b|which planet\b)"
)
DECLINES = r"cannot tell|can't tell|can not tell|not trained|do not know|don't know|unable to"
LEAD = r"^\W*(?:(?:yes|no|sure|well|ok|okay|the answer is(?: yes| no)?)\b\W*)?"
PRONOUN = rf"{LEAD}(?:it|this|that|there|here|these|i|we|you)\b"
SUBJECT = rf"{LEAD}(?:this|the) (?:\w+ )?{THING}\b"
YES_NO = r"^\W*(?:yes|no)\b\W*"
BARE_WORDS = (
    r"(?:an?|the|it|is|this|in|of|with|without|weighted|cells?|blood|plane|view|scan|contrast|lungs?|"
    r"photograph|or|and)"
)


def statements(attribute: str) -> tuple[str, str]:
    """Patterns of a sentence (lower case) that states ``attribute``: certainly; if the question is about the study."""
    value = VALUE[attribute]
    if attribute == "organ":
        some = r"(?:(?:the|an?|part|parts|of|some|human|patient's|upper|lower|left|right|my|your) )*"
        shows = r"(?:shows?|showing|depicts?|displays?|contains?|sees?|is|are|was)"
        of = rf"{THING}(?: \w+){{0,2}} of {some}{value}"
        before = rf"\b(?:is|was|on|in|shows?) (?:an? |the )?(?:[\w-]+ )*?{value} {THING}"
        rest = rf"\b[^.]*?(?:\b{shows} {some}{value}|{of})|{before}"
        part = rf"{LEAD}the (?:body (?:part|region)|organ|region|anatomy|part)\b.*\bis {some}{value}"
        certain = rf"{LEAD}it shows {some}{value}\W*$|{SUBJECT}(?:{rest})|{part}"
        return certain, rf"{PRONOUN}(?:{rest})|^\W*(?:an? |the )?(?:[\w-]+ ){{0,4}}{of}\W*$"
    if attribute == "state":
        looks = rf"\b.*\b(?:look|appear|seem|is|are|was|were)s? (?:\w+ ){{0,2}}{value}"
        see = rf"(?:{PRONOUN})(?: is| are| can)?(?: see)? (?:\w+ ){{0,3}}{value}"
        return rf"{LEAD}(?:the |these |both )?lungs?{looks}|; the lungs?{looks}|{SUBJECT}{looks}", (
            rf"{PRONOUN}{looks}|{LEAD}everything{looks}|{see}"
        )
    if attribute == "modality":
        body = rf"\b(?:[^.]*?)\b(?:is|was|shows?|looks like|on) (?:not )?(?:an? )?(?:[\w-]+ )*?{value}"
        return rf"{SUBJECT}{body}", rf"{PRONOUN}{body}"
    # Words that hardly stand in a sentence about anything else.
    subject = r"(?:mri? |imaging |slice |mr )?(?:sequence|weighting|plane|orientation|view|projection)"
    return rf"{LEAD}the {subject}\b.*{value}|{PRONOUN} (?:is|was) [^.]*{value}", value


STATEMENTS = {attribute: statements(attribute) for attribute in ATTRIBUTES}
SPECIFIC = ("plane", "sequence", "view")


def cuts(attribute: str) -> tuple[tuple[str, str], ...]:
    """(pattern, what remains): the words of a description that may go without leaving a hole."""
    value = VALUE[attribute]
    noun = r"(?:ct|mri?|x-?ray|ultrasound|scan|image|picture|slice|photograph|radiograph|film|microscope|endoscopic)"
    if attribute == "organ":
        return (
            (rf"\b(shows?|showing|of) (?:the |an? )?{value}(?: cells)? on (?=an? |the )", r"\1 "),
            (rf" of (?:the |an? )?{value}(?: cells)?", ""),
            (rf"\b{value} (?={noun}\b)", ""),
        )
    if attribute == "state":
        return ((rf"[;,] (?:and )?(?:the )?lungs? [^.;]*{value}", ""),)
    if attribute == "modality":
        return ((rf"\b(on|in) (an? (?:[\w-]+ ){{0,4}}?){value}(?: scan| image)?", r"\1 \2image"),)
    return ((rf"\b{value}(?:[- ]weighted)?,? (?=(?:[\w-]+ ){{0,3}}{noun}\b)", ""),)


class Withhold:
    """One answer on its way to the person who asked: feed pieces in, get what may be said out.

    silent: attributes that this model may not state of this ``kind`` of study. question: as asked; before: the
    question before it, which an elliptic one ("And in one word?") refers to. held: attributes held back so far.
    """

    def __init__(self, silent: Sequence[str], kind: str, question: str, before: str = "") -> None:
        self.kind = kind
        self.held: list[str] = []
        self._told: set[str] = set()
        self._silent = [a for a in ATTRIBUTES if a in silent]
        asked, before = mended(question.lower()), mended(before.lower())
        if len(asked.split()) <= 5 and not any(self._topical(a, asked) for a in ATTRIBUTES):
            asked = f"{before} {asked}"
        self._points = re.search(POINTS, asked) is not None
        self._general = not self._points and re.search(GENERAL, asked) is not None
        self._topics = [a for a in self._silent if self._topical(a, asked) and not self._general]
        self._asked = [a for a in self._topics if re.search(ASKS[a], asked) or self._confirms(a, asked)]
        self._pending = ""
        self._begun = False

    def push(self, piece: str) -> str:
        """What may be said now that ``piece`` has come: whole sentences only."""
        self._pending += piece
        out = ""
        while (end := re.search(r"[.!?]+[\"')]*\s+|\n+", self._pending)) is not None:
            out += self._say(self._pending[: end.end()])
            self._pending = self._pending[end.end() :]
        if len(self._pending) > LONGEST:
            out += self.flush()
        return out

    def flush(self) -> str:
        """The rest, at the end of the answer."""
        rest, self._pending = self._pending, ""
        return self._say(rest) if rest else ""

    @property
    def note(self) -> str:
        """Why something is missing, in one sentence; empty when nothing is."""
        if not self.held:
            return ""
        words = ", ".join(NAMES[a] for a in self.held)
        return f"{HELD_NOTE}{words} of {OF_KIND[self.kind]}, which this model was measured to guess; see its card."

    # ------------------------------------------------------------------------------------------ one sentence

    def _say(self, text: str) -> str:
        sentence = text.rstrip()
        said = self._judged(sentence)
        if said == sentence:
            return self._after(text)
        return self._after(said + (text[len(sentence) :] or " ")) if said else ""

    def _after(self, text: str) -> str:
        """Without white space before the first word."""
        if not self._begun:
            text = text.lstrip()
            self._begun = bool(text)
        return text

    def _judged(self, sentence: str) -> str:
        """The sentence, what is left of it, or what cannot be told; empty when that was said before."""
        if not sentence.strip() or re.search(DECLINES, sentence.lower()):
            return sentence
        gone = [a for a in self._silent if self._states(a, sentence)]
        rest = sentence
        for attribute in gone:
            rest = self._cut(attribute, rest)
        confirms = self._asked if re.match(YES_NO, sentence, re.I) else []
        confirms = [a for a in confirms if a not in gone]
        if not gone and not confirms:
            return sentence
        if self._asked:  # a yes or no that is left would answer what is held back
            rest = capital(re.sub(YES_NO, "", rest, count=1, flags=re.I))
        if not any(named(a, rest) for a in ATTRIBUTES if a not in self._silent):
            rest = ""
        missing = [a for a in (*gone, *confirms) if not rest or a in self._asked]
        self.held += [a for a in (*gone, *confirms) if a not in self.held]
        return " ".join([*([rest] if rest else []), *self._cannot(missing)])

    def _cannot(self, attributes: Sequence[str]) -> list[str]:
        new = [a for a in attributes if a not in self._told]
        self._told.update(new)
        slices = ONE | {"image": "one slice"}
        noun = NOUN[self.kind]
        return [CANNOT[a].format(one=(slices if a in ONE_SLICE else ONE)[self.kind], noun=noun) for a in new]

    def _states(self, attribute: str, sentence: str) -> bool:
        text = sentence.lower()
        if not named(attribute, text):
            return False
        certain, likely = STATEMENTS[attribute]
        if attribute == "organ":  # "not a chest X-ray" says nothing of what it is
            text = re.sub(rf"\bnot an? {VALUE['organ']} {THING}", "not that", text)
        if re.search(certain, text):
            return True
        if self._general:
            return False
        if bare(attribute, text) and (attribute in SPECIFIC or self._about(attribute)):
            return True
        return (attribute in SPECIFIC or self._about(attribute)) and re.search(likely, text) is not None

    def _about(self, attribute: str) -> bool:
        return self._points or attribute in self._topics

    def _cut(self, attribute: str, sentence: str) -> str:
        """The sentence without the value; empty when that cannot be."""
        rest = sentence
        for pattern, left in cuts(attribute):
            rest = re.sub(pattern, left, rest, flags=re.I)
        if named(attribute, rest):
            return ""
        return re.sub(r"\b(an?) ([\w-]+)", lambda m: f"{article(m[1], m[2])} {m[2]}", rest, flags=re.I)

    # ------------------------------------------------------------------------------------------ the question

    @staticmethod
    def _topical(attribute: str, question: str) -> bool:
        return re.search(ASKS[attribute], question) is not None or bool(named(attribute, question))

    @staticmethod
    def _confirms(attribute: str, question: str) -> bool:
        """Whether yes or no to this question states a value: "Is this the head?", not "Is the heart enlarged?"."""
        value = VALUE[attribute]
        if attribute in SPECIFIC:
            return bool(named(attribute, question))
        if attribute == "modality":  # "is this MRI FLAIR?" asks for the sequence
            question = re.sub(rf"\b(this|the) {value}(?= \w)", r"\1 one", question)
        seen = rf"\b(?:it|this|that|these|i|we|you|{THING})\b[^?.]*{value}"
        return (
            re.search(rf"{seen}|{value}[^?.]*\b(?:shown|visible|seen|here)\b|{value}\W*$", question)
            is not None
        )


def bare(attribute: str, text: str) -> bool:
    """Whether a sentence (lower case) is a value and nothing but small words: "T1", "Blood cells."."""
    rest = re.sub(YES_NO, "", text)
    for pattern in PATTERNS[attribute].values():
        rest = re.sub(rf"(?:{pattern})\w*", " ", rest)
    return not re.sub(rf"\b{BARE_WORDS}\b|[\W_]+", "", rest)


def article(given: str, word: str) -> str:
    """ "a" or "an" before ``word``, with the capital of ``given``."""
    vowel = word[0] in "aeiouAEIOU" or re.match(r"MRI?\b|X-?ray|FLAIR", word) is not None
    right = "an" if vowel else "a"
    return right.capitalize() if given[0].isupper() else right


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def withheld(
    silent: Sequence[str], kind: str, question: str, answer: str, before: str = ""
) -> tuple[str, list[str]]:
    """(what may be said, attributes held back) of a whole answer."""
    gate = Withhold(silent, kind, question, before)
    text = gate.push(answer) + gate.flush()
    return text.strip(), gate.held


def mended(question: str) -> str:
    """The question (lower case) without greeting, slips of the pen in telling words undone: "croonal", "berast"."""

    def right(match: re.Match[str]) -> str:
        return next(iter(difflib.get_close_matches(match[0], TELLING, 1, 0.83)), match[0])

    return re.sub(r"[a-z]{5,}", right, re.sub(GREETING, "", question))


def asks(attribute: str, question: str) -> bool:
    """Whether the words of ``question`` ask about ``attribute``."""
    return re.search(ASKS[attribute], question.lower()) is not None


__all__ = ["HELD_NOTE", "NAMES", "Withhold", "asks", "withheld"]
