"""Progressive against joint training at an equal number of questions (OmniV-Med §3.1, ablation of stages).

Both arms take the very same batches with the same learning-rate schedule. Progressive: captions with the language
model frozen, then 2D questions, then 2D, volumes and clips. Joint: the same batches in random order, everything
trained from the first step.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from train.claims import cases as asking
from train.claims.parts import Parts, make
from train.claims.record import difference, score
from train.claims.report import Outcome, save
from train.claims.setting import Setting
from train.claims.steps import ALIGN, INSTRUCT, MIXED, Step, asked_in, stage, steps_of, train

SHARES = (0.2, 0.45, 0.35)
"""Of the steps: align, instruct, mixed."""


def plans(steps: int, seed: int) -> dict[str, list[Step]]:
    """The same batches in two orders."""
    align, mixed = (max(1, round(steps * s)) for s in (SHARES[0], SHARES[2]))
    instruct = max(1, steps - align - mixed)
    ordered = stage(ALIGN, align) + stage(INSTRUCT, instruct) + stage(MIXED, mixed)
    order = np.random.default_rng((seed, 61)).permutation(len(ordered))
    # the kind's name decides what a batch holds, so it stays; only the language model learns from all of them
    mixed_up = [Step(replace(ordered[i].kind, llm=True), ordered[i].number) for i in order]
    return {"progressive": ordered, "joint": mixed_up}


def run(setting: Setting, parts: Parts | None = None) -> str:
    """Markdown; everything lands in ``OUT/progressive``."""
    parts = parts or make(setting)
    folder, steps = setting.out / "progressive", steps_of(setting.minutes)
    cases = asking.stills(parts.nano, setting.stills) + asking.sequences(parts.nano)
    said, asked = {}, {}
    for arm, plan in plans(steps, setting.seed).items():
        where = folder / f"{arm}-{steps}"
        weights = train(parts, where, plan, setting.seed)
        said[arm] = asking.ask_arm(parts, weights, cases, folder / f"predictions/{arm}-{steps}.jsonl")
        asked[arm] = asked_in(where)
    said["majority"] = asking.majority(said["joint"])
    groups = {
        arm: {"all": rows, **{k: [r for r in rows if r.kind == k] for k in ("image", "volume", "video")}}
        | {t: v for t, v in asking.by_task(rows).items() if t != "all"}
        for arm, rows in said.items()
    }
    cells = [score(arm, m, rows) for arm, ms in groups.items() for m, rows in ms.items() if rows]
    differences = [
        difference("progressive", groups["progressive"][m], "joint", groups["joint"][m], m)
        for m in ("all", "image", "volume", "video")
        if groups["progressive"][m]
    ]
    outcome = Outcome(
        "progressive",
        "Progressive against joint training",
        "training the stages one after another is better than all at once.",
        (
            f"{steps} steps an arm, {asked['progressive']} questions (progressive) and {asked['joint']} (joint), the "
            f"same batches in another order, seed {setting.seed}; encoder frozen, word warm start shared.",
            "One whole-sentence question per known fact of pictures, volumes and clips of unseen patients; exact "
            "sentence; pruning at 0.1.",
        ),
        tuple(cells),
        tuple(differences),
        {"steps": steps, "asked": asked},
    )
    by = {(c.arm, c.measure): c for c in cells}
    names = [m for m in groups["joint"] if groups["joint"][m]]
    series = {arm: [(m, by[arm, m]) for m in names] for arm in said}
    return save(outcome, folder, series, "questions")
