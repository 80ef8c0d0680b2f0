"""The stages that ask services: candidates, judgements, similarity, match. Answers are stored raw.

A service that fails for one record drops that record with the reason; nothing is made up in its place.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from omnivmed.errors import StudyError
from train.instruct.rows.record import Record
from train.instruct.rows.shards import Drop
from train.instruct.select.rules import CRITERIA, points_of, similarity
from train.instruct.services.client import Service, ServiceError
from train.instruct.services.sheets import WHAT, as_content, pictures, shorter_side

PROMPTS = Path(__file__).parent / "prompts"


@cache
def prompt(name: str) -> tuple[str, str]:
    """(text, 12 hex digits over it) of a prompt file."""
    text = (PROMPTS / f"{name}.txt").read_text(encoding="utf-8").strip()
    return text, hashlib.sha256(text.encode()).hexdigest()[:12]


def fill(template: str, **values: str) -> str:
    """`{name}` replaced by a value, nothing else: braces of JSON in a prompt, or in a caption, stay what they are."""
    return re.sub(
        "|".join(r"\{" + re.escape(name) + r"\}" for name in values), lambda m: values[m[0][1:-1]], template
    )


@dataclass(frozen=True)
class Sizes:
    """Stores the shorter side of a record's pictures; a record that cannot be opened is dropped."""

    data: Path

    def __call__(self, record: Record) -> Record:
        """The record with `shorter_side`. Raises Drop."""
        if record.kind == "text":
            return record
        try:
            return record.with_scores(shorter_side=float(shorter_side(record.media(self.data))))
        except (StudyError, FileNotFoundError) as error:
            raise Drop(f"cannot be opened: {getattr(error, 'code', 'file missing')}") from None


@dataclass(frozen=True)
class Candidates:
    """Asks for `count` captions of every record, each with a seed of its own."""

    service: Service
    data: Path
    count: int = 5
    temperature: float = 0.7
    seed: int = 0
    max_tokens: int = 400

    def __call__(self, record: Record) -> Record:
        """The record with candidates {text, model, seed, prompt}. Raises Drop."""
        template, digest = prompt("caption")
        text = fill(template, what=WHAT[record.kind], facts=f"{record.question} {record.answer}")
        content = _content(record, self.data, text)
        out = []
        for number in range(self.count):
            seed = _seed(self.seed, record.id, number)
            said = _ask(
                self.service, [{"role": "user", "content": content}], self.temperature, seed, self.max_tokens
            )
            out.append({"text": said, "model": self.service.model, "seed": seed, "prompt": digest})
        return record.but(candidates=tuple(out))


@dataclass(frozen=True)
class Judge:
    """One judge over every candidate: raw answers, and what could be read of them after one request to repair."""

    service: Service
    data: Path
    seed: int = 0
    max_tokens: int = 60

    def __call__(self, record: Record) -> Record:
        """The record with judgements {candidate, judge, raw, repaired, scores | None, prompt}. Raises Drop when the
        judge does not answer at all; an answer that cannot be read is kept, with no scores."""
        template, digest = prompt("judge")
        out = []
        for place, candidate in enumerate(record.candidates):
            if candidate.get("fault"):
                continue
            text = fill(
                template, what=WHAT[record.kind], reference=record.answer, candidate=str(candidate["text"])
            )
            messages: list[dict[str, Any]] = [{"role": "user", "content": _content(record, self.data, text)}]
            seed = _seed(self.seed, record.id, place)
            raw = [_ask(self.service, messages, 0.0, seed, self.max_tokens)]
            scores = read_scores(raw[0])
            if scores is None:
                messages += [
                    {"role": "assistant", "content": raw[0]},
                    {"role": "user", "content": prompt("repair")[0]},
                ]
                raw.append(_ask(self.service, messages, 0.0, seed, self.max_tokens))
                scores = read_scores(raw[1])
            out.append(
                {
                    "candidate": place,
                    "judge": self.service.model,
                    "raw": raw,
                    "repaired": len(raw) > 1,
                    "scores": scores,
                    "prompt": digest,
                }
            )
        return record.but(judgements=(*record.judgements, *out))


@dataclass(frozen=True)
class Similarity:
    """S of O-K-A: the original text against the candidates, by an embedding service."""

    service: Service

    def __call__(self, record: Record) -> Record:
        """The record with `S`, left out when there is no candidate. Raises Drop."""
        texts = [record.answer, *(str(c["text"]) for c in record.candidates if not c.get("fault"))]
        try:
            vectors = dict(zip(texts, self.service.embed(texts), strict=True))
        except ServiceError as error:
            raise Drop(str(error)) from None
        value = similarity(record, vectors)
        return record if math.isnan(value) else record.with_scores(S=value)


@dataclass(frozen=True)
class Match:
    """M of O-K-A: how well picture and original text belong together, as one judge's relevance of the original text.

    The published M is an image-text model's (MedSigLIP), which no service of the OpenAI form offers; this is named for
    what it is, and `M` of another origin can be put into the scores by any stage of one's own.
    """

    service: Service
    data: Path

    def __call__(self, record: Record) -> Record:
        """The record with `M` from 0 to 1, left out when the answer cannot be read. Raises Drop."""
        as_candidate = record.but(candidates=({"text": record.answer},), judgements=())
        judged = Judge(self.service, self.data)(as_candidate).judgements
        points = points_of(judged[0])
        return (
            record if points is None else record.with_scores(M=(points[CRITERIA.index("relevance")] - 1) / 4)
        )


def read_scores(text: str) -> dict[str, float] | None:
    """The three numbers of a judge's answer, from the first JSON object in it; None when it holds none that fits."""
    found = re.search(r"\{[^{}]*\}", text)
    if found is None:
        return None
    try:
        values = json.loads(found[0])
    except ValueError:
        return None
    scores = {name: values.get(name) for name in CRITERIA}
    return None if points_of({"scores": scores}) is None else {k: float(v) for k, v in scores.items()}


def _content(record: Record, data: Path, text: str) -> list[dict[str, Any]]:
    try:
        return as_content(text, pictures(record.media(data)) if record.kind != "text" else [])
    except (StudyError, FileNotFoundError) as error:
        raise Drop(f"cannot be opened: {getattr(error, 'code', 'file missing')}") from None


def _ask(
    service: Service, messages: Sequence[dict[str, Any]], temperature: float, seed: int, max_tokens: int
) -> str:
    try:
        return service.chat(messages, temperature=temperature, seed=seed, max_tokens=max_tokens)
    except ServiceError as error:
        raise Drop(str(error)) from None


def _seed(seed: int, name: str, number: int) -> int:
    """31 bits that depend on seed, record and number alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}/{number}".encode()).digest()[:4], "big") >> 1
