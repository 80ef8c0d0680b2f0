"""Protocols: how a question is put, and which numbers are made of the answers. One object says both.

Numbers of different protocols do not compare; every `Score` carries its protocol's name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from omnivmed.eval import metrics
from omnivmed.eval.intervals import bootstrap, wilson
from omnivmed.records import Item

LETTERS = "ABCDEFGHIJ"


@dataclass(frozen=True)
class Score:
    """One number: `measure` in 0..1 over `n` answers, with its 95 % interval."""

    protocol: str
    measure: str
    value: float
    n: int
    low: float
    high: float

    def cell(self) -> str:
        """For a table, protocol included: "59.2 [55.0, 63.1] (A, n=200)"."""
        interval = f"[{100 * self.low:.1f}, {100 * self.high:.1f}]"
        return f"{100 * self.value:.1f} {interval} ({self.protocol}, n={self.n})"


Answers = Mapping[str, str]
Scorer = Callable[[Sequence[Item], Answers], list[Score]]


@dataclass(frozen=True)
class Protocol:
    """name: short, stands in every cell. closed_suffix, open_suffix: appended to the question on a new line."""

    name: str
    title: str
    scorer: Scorer
    closed_suffix: str = ""
    open_suffix: str = ""

    def prompt(self, item: Item) -> str:
        """The text the model is asked."""
        text = item.question.strip()
        if item.choices:
            text += " Choices: " + " ".join(
                f"{letter}. {choice}" for letter, choice in zip(LETTERS, item.choices, strict=False)
            )
        suffix = self.closed_suffix if item.closed else self.open_suffix
        return f"{text}\n{suffix}" if suffix else text

    def prompt_hash(self, items: Sequence[Item]) -> str:
        """16 hex digits over every prompt in order: two runs with the same hash asked the same questions."""
        digest = hashlib.sha256()
        for item in items:
            digest.update(json.dumps([item.id, self.prompt(item)]).encode())
        return digest.hexdigest()[:16]

    def score(self, items: Sequence[Item], answers: Answers) -> list[Score]:
        """All numbers of this protocol, then the shares of empty answers. `answers`: item id -> text.

        Raises ValueError when an item has no answer: a score over a part would pass for the whole.
        """
        missing = [item.id for item in items if item.id not in answers]
        if missing:
            raise ValueError(f"{len(missing)} of {len(items)} questions have no answer, first: {missing[0]}")
        scores = self.scorer(items, answers)
        empty = [not answers[item.id].strip() for item in items]
        return [*scores, share(self.name, "empty answers", empty)]


def share(protocol: str, measure: str, hits: Sequence[bool], groups: Sequence[str] | None = None) -> Score:
    """A share of answers; Wilson interval, or bootstrap over `groups` where answers come in groups."""
    n = len(hits)
    value = sum(hits) / n if n else 0.0
    low, high = wilson(sum(hits), n) if groups is None else bootstrap([float(h) for h in hits], groups)
    return Score(protocol, measure, value, n, low, high)


def mean(protocol: str, measure: str, values: Sequence[float], groups: Sequence[str]) -> Score:
    """A mean of per-answer values, bootstrapped over groups."""
    low, high = bootstrap(values, groups)
    return Score(protocol, measure, sum(values) / len(values) if values else 0.0, len(values), low, high)


def score_llava_med(items: Sequence[Item], answers: Answers) -> list[Score]:
    """A: open = token recall, closed = substring accuracy; beside them F1, "exact match", the strict rule.

    Ours are two more: closed accuracy by whole words, because a refusal ("I cannot tell") holds the letters of
    "no", and the share of answers that decline.
    """
    opened = [item for item in items if not item.closed]
    closed = [item for item in items if item.closed]
    out = []
    if opened:
        overlaps = [metrics.llava_med_overlap(answers[item.id], item.answer) for item in opened]
        groups = [item.group or item.id for item in opened]
        exact = [metrics.llava_med_exact(answers[item.id], item.answer) for item in opened]
        out.append(mean("A", "open recall", [o.recall for o in overlaps], groups))
        out.append(mean("A", "open F1", [o.f1 for o in overlaps], groups))
        out.append(mean("A", "open exact match (LLaVA-Med)", exact, groups))
    if closed:
        groups = [item.group or item.id for item in closed]
        loose = [metrics.llava_med_closed(answers[item.id], item.answer) for item in closed]
        strict = [metrics.llava_med_closed_strict(answers[item.id], item.answer) for item in closed]
        out.append(share("A", "closed accuracy", loose, groups))
        out.append(share("A", "closed accuracy (run_eval)", strict, groups))
        words = [metrics.whole_words(answers[item.id], item.answer) for item in closed]
        out.append(share("A", "closed accuracy (whole words)", words, groups))
    out.append(share("A", "declined", [metrics.declined(answers[item.id]) for item in items]))
    return out


def score_rule_only(items: Sequence[Item], answers: Answers) -> list[Score]:
    """B without a judge: one accuracy over all questions; yes/no by exclusive or, the rest by equality."""

    def right(item: Item) -> bool:
        answer = answers[item.id]
        if item.answer.lower().strip() in ("yes", "no"):
            return metrics.yes_no_xor(answer, item.answer)
        return metrics.exact_match(answer, item.answer)

    hits = [right(item) for item in items]
    return [share("B without judge", "accuracy", hits, [item.group or item.id for item in items])]


def score_choices(items: Sequence[Item], answers: Answers) -> list[Score]:
    """M3D closed: per question type and their mean (the paper's figure). Intervals over volumes.

    `item.answer` is "A. text": its first character is the letter.
    """
    by_type = _by_category(items)
    out = []
    for category, members in by_type.items():
        hits = [metrics.choice_letter_correct(answers[i.id], i.answer[0]) for i in members]
        out.append(share("M3D", f"closed accuracy, {category}", hits, [i.group or i.id for i in members]))
    return [*out, _macro("M3D", "closed accuracy, mean of types", out)]


def score_open_types(items: Sequence[Item], answers: Answers) -> list[Score]:
    """M3D open: token recall per type and their mean (OmniV-Med), and BLEU-1 and ROUGE-1 (M3D's own).

    METEOR and BERTScore, which M3D also prints, need WordNet and a BERT model and are not computed here.
    """
    recalls = []
    out = []
    for category, members in _by_category(items).items():
        pairs = [(answers[i.id], i.answer) for i in members]
        groups = [i.group or i.id for i in members]
        recall = [metrics.llava_med_overlap(*pair).recall for pair in pairs]
        recalls.append(mean("M3D", f"open recall, {category}", recall, groups))
        out.append(mean("M3D", f"BLEU-1, {category}", [metrics.bleu_1(*p) for p in pairs], groups))
        out.append(mean("M3D", f"ROUGE-1, {category}", [metrics.rouge_1(*p) for p in pairs], groups))
    return [*recalls, _macro("M3D", "open recall, mean of types", recalls), *out]


def label_scorer(labels: Sequence[str]) -> Scorer:
    """Surgical: accuracy over matched labels, macro scores over the label list, and the unmatched rate."""

    def score(items: Sequence[Item], answers: Answers) -> list[Score]:
        said = [metrics.match_label(answers[item.id], labels) for item in items]
        truth = [metrics.match_label(item.answer, labels) or item.answer for item in items]
        groups = [item.group or item.id for item in items]
        hits = [p == t for p, t in zip(said, truth, strict=True)]
        macro = metrics.macro_scores(said, truth, labels)
        n = len(items)
        return [
            share("surgical", "accuracy", hits, groups),
            *(
                Score("surgical", f"macro {name}", value, n, float("nan"), float("nan"))
                for name, value in (
                    ("precision", macro.precision),
                    ("recall", macro.recall),
                    ("F1", macro.f1),
                )
            ),
            share("surgical", "unmatched answers", [p is None for p in said]),
        ]

    return score


LLAVA_MED = Protocol("A", "LLaVA-Med / OmniV-Med: open token recall, closed accuracy", score_llava_med)
RULE_ONLY = Protocol(
    "B without judge",
    "MedEvalKit's questions and split, answers scored by rule alone",
    score_rule_only,
    closed_suffix="Answer the question using a single word or phrase.",
    open_suffix="Please answer the question concisely.",
)
M3D_CLOSED = Protocol("M3D", "M3D multiple choice", score_choices)
M3D_OPEN = Protocol("M3D", "M3D open questions", score_open_types)


def surgical(labels: Sequence[str]) -> Protocol:
    """Accuracy over a closed label list; the text must equal a label."""
    return Protocol("surgical", "label accuracy, exact text match", label_scorer(labels))


def _by_category(items: Sequence[Item]) -> dict[str, list[Item]]:
    out: dict[str, list[Item]] = {}
    for item in sorted(items, key=lambda i: i.category):
        out.setdefault(item.category, []).append(item)
    return out


def _macro(protocol: str, measure: str, parts: Sequence[Score]) -> Score:
    value = sum(p.value for p in parts) / len(parts) if parts else 0.0
    return Score(protocol, measure, value, sum(p.n for p in parts), float("nan"), float("nan"))
