"""Does a model trained on stills alone read volumes and clips? The same number of steps with and without them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from train.claims import cases as asking
from train.claims.parts import Parts, make
from train.claims.record import Said, difference, score
from train.claims.report import Outcome, save
from train.claims.setting import Setting
from train.claims.steps import INSTRUCT, MIXED, asked_in, stage, steps_of, train

ARMS = {"2D only": INSTRUCT, "2D, volumes and clips": MIXED}


SHOWN, STRIP, HEIGHT = 12, 6, 112
"""Examples that are drawn, frames of each, and their height in pixels."""


def examples(cases: Sequence[asking.Case], said: Mapping[str, Sequence[Said]], folder: Path) -> None:
    """``examples/``: a strip of frames, the question, the truth and what every arm said, of studies taken evenly over
    all, right or wrong (OmniV-Med, Figure 8)."""
    from PIL import Image

    where = folder / "examples"
    where.mkdir(parents=True, exist_ok=True)
    given = {arm: {row.key: row.said for row in rows} for arm, rows in said.items()}
    lines = ["# Volumes and clips asked of a model that was trained on stills alone", ""]
    for number in np.unique(np.linspace(0, len(cases) - 1, min(SHOWN, len(cases))).round().astype(int)):
        study, name, asked = cases[number]
        index = np.unique(np.linspace(0, len(study.frames) - 1, STRIP).round().astype(int))
        frames = [Image.fromarray(study.frames[i]) for i in index]
        frames = [f.resize((max(1, round(f.width * HEIGHT / f.height)), HEIGHT)) for f in frames]
        strip = Image.new("RGB", (sum(f.width for f in frames), HEIGHT))
        for place, frame in enumerate(frames):
            strip.paste(frame, (sum(f.width for f in frames[:place]), 0))
        strip.save(where / f"{number:04d}.png")
        qa = asked[int(number) % len(asked)]
        lines += [f"![{study.kind}]({number:04d}.png)", "", f"{qa.question} Truth: {qa.plain}", ""]
        lines += [
            f"- {arm}: {rows.get((name, qa.task, qa.question), 'not asked')}" for arm, rows in given.items()
        ]
        lines.append("")
    (where / "examples.md").write_text("\n".join(lines), encoding="utf-8")


def run(setting: Setting, parts: Parts | None = None) -> str:
    """Markdown; everything lands in ``OUT/transfer``. The first arm is shared with ``scaling``."""
    parts = parts or make(setting)
    folder, steps = setting.out / "transfer", steps_of(setting.minutes)
    moving = asking.sequences(parts.nano)
    cases = asking.stills(parts.nano, setting.stills) + moving
    said, asked = {}, {}
    for arm, kind in ARMS.items():
        where = setting.out / f"shared/{kind.name}-{steps}"
        weights = train(parts, where, stage(kind, steps), setting.seed)
        asked[arm] = asked_in(where)
        for name, part in ((arm, cases), (f"{arm}, black frames", asking.blank(moving))):
            file = folder / f"predictions/{name.replace(' ', '-').replace(',', '')}-{steps}.jsonl"
            said[name] = asking.ask_arm(parts, weights, part, file)
    first, second = ARMS
    said["majority"] = asking.majority(said[first])
    groups = {
        arm: {
            "stills": [r for r in rows if r.kind == "image"],
            "volumes and clips": [r for r in rows if r.kind != "image"],
            **{
                f"{t}, volumes and clips": v
                for t, v in asking.by_task([r for r in rows if r.kind != "image"]).items()
                if t != "all"
            },
        }
        for arm, rows in said.items()
    }
    cells = [score(arm, m, rows) for arm, ms in groups.items() for m, rows in ms.items() if rows]
    pairs = (
        (second, first, "volumes and clips"),
        (second, first, "stills"),
        (first, f"{first}, black frames", "volumes and clips"),
        (first, "majority", "volumes and clips"),
    )
    differences = [difference(a, groups[a][m], b, groups[b][m], m) for a, b, m in pairs if groups[a][m]]
    outcome = Outcome(
        "transfer",
        "Zero-shot transfer from 2D training to volumes and clips",
        "a model trained on 2D alone already reads volumes and videos; mixed training improves it.",
        (
            f"{steps} steps an arm, {asked[first]} and {asked[second]} questions, seed {setting.seed}; in the second "
            "arm two of six studies are volumes or clips, pruned at 0.1.",
            f"Asked about volumes (every plane) and clips of unseen patients, {asking.FRAMES} slices or frames, pruned "
            "at 0.1; exact sentence.",
        ),
        tuple(cells),
        tuple(differences),
        {"steps": steps, "asked": asked},
    )
    examples(moving, {arm: said[arm] for arm in ARMS}, folder)
    by = {(c.arm, c.measure): c for c in cells}
    series = {
        arm: [(m, by[arm, m]) for m in ("stills", "volumes and clips") if (arm, m) in by] for arm in said
    }
    return save(outcome, folder, series, "studies")
