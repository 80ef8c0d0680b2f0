"""Metrics as pure functions of a prediction and a reference. Values are shares in 0..1.

Rules and sources: docs/evaluation.md. Functions named `llava_med_*` follow LLaVA-Med v1.0.0, the 2D protocol
of OmniV-Med, oddities included.
"""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from omnivmed.eval.words import normalise


@dataclass(frozen=True)
class Overlap:
    """Bag-of-words agreement of one answer with its reference."""

    precision: float
    recall: float
    f1: float


def llava_med_overlap(prediction: str, reference: str) -> Overlap:
    """Token precision, recall and F1 on twice-normalised words.

    tp counts the occurrences *in the prediction* of words that the reference has; recall divides by tp plus the
    occurrences in the reference of words absent from the prediction. A repeated right word therefore counts
    each time. All 0 when either side is empty or nothing is shared.
    """
    predicted, wanted = Counter(normalise(prediction).split()), Counter(normalise(reference).split())
    hits = sum(count for word, count in predicted.items() if word in wanted)
    if hits == 0:
        return Overlap(0.0, 0.0, 0.0)
    missed = sum(count for word, count in wanted.items() if word not in predicted)
    precision = hits / sum(predicted.values())
    recall = hits / (hits + missed)
    return Overlap(precision, recall, 2 * precision * recall / (precision + recall))


def llava_med_exact(prediction: str, reference: str) -> float:
    """What that evaluation calls exact match: distinct reference words found / number of predicted words.

    Not equality: "yes yes" against "yes" scores 0.5, "left" against "left lung" scores 1.
    """
    predicted, wanted = normalise(prediction).split(), set(normalise(reference).split())
    return len(wanted & set(predicted)) / len(predicted) if predicted else 0.0


def llava_med_closed(prediction: str, reference: str) -> bool:
    """Closed answer by `run_eval_batch`, used for the published tables: the answer is a substring.

    So "Yesterday" scores for yes, and "There is yes and no" scores for both. An empty reference, which is a substring
    of everything, is never right: there is nothing to be right about.
    """
    wanted = reference.lower().strip()
    return bool(wanted) and wanted in prediction.lower()


def llava_med_closed_strict(prediction: str, reference: str) -> bool:
    """Closed answer by `run_eval`: the prediction must also hold yes or no."""
    text = prediction.lower()
    return ("yes" in text or "no" in text) and llava_med_closed(prediction, reference)


def whole_words(prediction: str, reference: str) -> bool:
    """Ours, stricter: the answer's words stand in the prediction as whole words, side by side.

    "I cannot tell" holds the letters of "no" and scores for it by the two rules above; not here.
    """
    wanted = re.escape(reference.lower().strip())
    return bool(wanted) and re.search(rf"(?<!\w){wanted}(?!\w)", prediction.lower()) is not None


def declined(prediction: str) -> bool:
    """The answer says that it gives none."""
    return (
        re.search(r"\b(cannot|can't|unable to) (tell|say|determine|answer)\b", prediction.lower()) is not None
    )


def yes_no_xor(prediction: str, reference: str) -> bool:
    """Closed yes/no by rule: exactly one of the two strings occurs, and it is the reference (MedUniEval)."""
    text = prediction.lower()
    yes, no = "yes" in text, "no" in text
    return yes != no and reference.lower().strip() == ("yes" if yes else "no")


def exact_match(prediction: str, reference: str) -> bool:
    """Equality after lower-casing, stripping and dropping one final period (protocol B without a judge); never true of
    an empty reference."""

    def plain(text: str) -> str:
        return text.lower().strip().removesuffix(".").strip()

    return bool(plain(reference)) and plain(prediction) == plain(reference)


def choice_letter_correct(prediction: str, letter: str) -> bool:
    """M3D closed: the letter followed by a period occurs in the output, anywhere ("A." in "CTA. no" too)."""
    return f"{letter}." in prediction


def sentence_bleu(
    prediction: Sequence[str], reference: Sequence[str], weights: Sequence[float] = (0.25, 0.25, 0.25, 0.25)
) -> float:
    """BLEU of one sentence against one reference as nltk computes it without smoothing.

    A missing n-gram order contributes the smallest positive float instead of 0, so the score is tiny rather than
    0; it is exactly 0 only when no single word is shared or the prediction is empty.
    """
    if not prediction or not set(prediction) & set(reference):
        return 0.0
    log_sum = 0.0
    for n, weight in enumerate(weights, start=1):
        grams, wanted = _ngrams(prediction, n), _ngrams(reference, n)
        hits = sum(min(count, wanted[gram]) for gram, count in grams.items())
        value = hits / max(1, sum(grams.values())) or sys.float_info.min
        log_sum += weight * math.log(value)
    shorter = len(prediction) < len(reference)
    brevity = math.exp(1 - len(reference) / len(prediction)) if shorter else 1.0
    return brevity * math.exp(log_sum)


def rouge_1(prediction: str, reference: str) -> float:
    """F1 of unigrams after lower-casing and splitting at everything but letters and digits (no stemming)."""
    predicted, wanted = Counter(_alphanumeric(prediction)), Counter(_alphanumeric(reference))
    hits = sum((predicted & wanted).values())
    if hits == 0:
        return 0.0
    precision, recall = hits / sum(predicted.values()), hits / sum(wanted.values())
    return 2 * precision * recall / (precision + recall)


def bleu_1(prediction: str, reference: str) -> float:
    """Unigram precision with brevity penalty, words and punctuation marks as tokens, case kept (M3D)."""
    tokens = [re.findall(r"\w+|[^\w\s]", text) for text in (prediction, reference)]
    return sentence_bleu(tokens[0], tokens[1], (1.0,))


def match_label(prediction: str, labels: Sequence[str]) -> str | None:
    """The label that a surgical answer names, or None: lower-case, strip, final period off, `_` -> space, equality.

    The papers do not say how free text becomes a label; this is the strict choice, and the unmatched rate is
    reported beside every score.
    """

    def plain(text: str) -> str:
        return text.lower().replace("_", " ").strip().removesuffix(".").strip()

    wanted = plain(prediction)
    return next((label for label in labels if plain(label) == wanted), None)


@dataclass(frozen=True)
class Macro:
    """Unweighted means over the label list."""

    precision: float
    recall: float
    f1: float


def macro_scores(
    predictions: Sequence[str | None], references: Sequence[str], labels: Sequence[str]
) -> Macro:
    """Macro precision, recall and F1 over the closed label list; an undefined ratio counts as 1.

    A label that neither occurs nor is predicted thus scores 1 in all three, as in the original surgical code.
    None (no label matched) is a miss for the true label and a false alarm for none.
    """
    precision = recall = f1 = 0.0
    for label in labels:
        pairs = [(p == label, r == label) for p, r in zip(predictions, references, strict=True)]
        hit = sum(p and r for p, r in pairs)
        said, true = sum(p for p, _ in pairs), sum(r for _, r in pairs)
        precision += hit / said if said else 1.0
        recall += hit / true if true else 1.0
        f1 += 2 * hit / (said + true) if said + true else 1.0
    n = len(labels)
    return Macro(precision / n, recall / n, f1 / n)


def _ngrams(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def _alphanumeric(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())
