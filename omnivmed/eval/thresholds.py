"""One model under several pruning thresholds on the same questions: OmniV-Med's Table 5, on any benchmark with clips.

The paper: 0, 0.1 and 0.3 on Cholec80-VQA, EndoVis18-VQA and PSI-AVA-VQA. Every threshold has its own predictions file,
continued where it was interrupted; numbers are made of them afterwards. Beside the scores stand what pruning is for,
the share of visual tokens removed and the seconds an answer took, and how many answers stay word for word what they
were under the first threshold, which needs no reference.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from omnivmed.eval import predictions
from omnivmed.eval.compare import Comparison, compare
from omnivmed.eval.predictions import Answerer, Header, Reply
from omnivmed.eval.protocol import Protocol, Score, share
from omnivmed.eval.registry import Benchmark
from omnivmed.eval.report import Row, markdown
from omnivmed.records import Item

THRESHOLDS = (0.0, 0.1, 0.3)


def run(
    benchmark: Benchmark,
    protocol: Protocol,
    items: Sequence[Item],
    note: str,
    split: str,
    model: str,
    answerer: Callable[[float], Answerer],
    thresholds: Sequence[float],
    out: Path,
    progress: Callable[[int, int], None] | None = None,
) -> str:
    """Ask under every threshold, write `out/<threshold>.jsonl`, `table.md` and `table.json`; returns the markdown.

    answerer: threshold -> who answers. Raises ValueError for thresholds that are not increasing from 0, or for
    questions of which none is about a clip or volume: no threshold can change those.
    """
    if not thresholds or list(thresholds) != sorted(set(thresholds)) or thresholds[0] < 0:
        raise ValueError(f"thresholds go up from 0 at least, got {list(thresholds)}")
    if not any(item.media.kind in ("volume", "video") for item in items):
        raise ValueError(
            f"{benchmark.name} shows stills only, and pruning acts on clips and volumes: nothing to compare"
        )
    replies: dict[float, dict[str, Reply]] = {}
    headers = {}
    for threshold in thresholds:
        header = Header(
            benchmark.name,
            split,
            protocol.name,
            protocol.prompt_hash(items),
            model,
            threshold,
            note,
            len(items),
        )
        path = out / f"{threshold:g}.jsonl"
        replies[threshold] = predictions.run(items, protocol, header, answerer(threshold), path, progress)
        headers[threshold] = header
    return report(protocol, items, headers, replies, out)


def report(
    protocol: Protocol,
    items: Sequence[Item],
    headers: Mapping[float, Header],
    replies: Mapping[float, Mapping[str, Reply]],
    out: Path,
) -> str:
    """Table, paired differences from the first threshold, and the same numbers as JSON."""
    first = min(replies)
    known = [item for item in items if item.answer]
    rows = []
    differences: list[Comparison] = []
    for threshold, said in replies.items():
        texts = predictions.texts(dict(said))
        name = f"threshold {threshold:g}"
        scores: list[Score] = list(protocol.score(known, texts)) if known else []
        if threshold != first:
            before = predictions.texts(dict(replies[first]))
            same = [texts[item.id] == before[item.id] for item in items]
            groups = [item.group or item.id for item in items]
            scores.append(share("answers", f"unchanged from threshold {first:g}", same, groups))
            if known:
                both = ((name, texts), (f"threshold {first:g}", before))
                differences += compare(protocol.name, known, *both)
        seconds = [r.seconds for r in said.values() if r.seconds]
        header = Header(**{**asdict(headers[threshold]), "model": name})
        removed = predictions.tokens_removed(dict(said))
        spent = sum(seconds) / len(seconds) if seconds else None
        rows.append(Row(header, tuple(scores), removed, spent, sum(bool(r.error) for r in said.values())))
    text = markdown(f"{next(iter(headers.values())).model} under several pruning thresholds", rows)
    if differences:
        text += "\nDifferences in points, paired, 95 % interval over clips or cases:\n\n"
        text += "".join(f"- {d.text()}\n" for d in differences)
    if not known:
        text += "\nNo reference answers: these numbers say what pruning changes, not whether it harms.\n"
    (out / "table.md").write_text(text, encoding="utf-8")
    numbers = {
        "rows": [
            {
                "threshold": row.header.threshold,
                "tokens_removed": row.tokens_removed,
                "seconds_per_answer": row.seconds_per_answer,
                "failed": row.failed,
                "scores": [asdict(s) for s in row.scores],
            }
            for row in rows
        ],
        "differences": [asdict(d) for d in differences],
    }
    (out / "table.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    return text
