"""Pruning in training only, at inference only, in both, in neither.

Two arms continue from one 2D start with the same volumes and clips, once with every token, once pruned at 0.1; each
is asked about the same studies with every token and pruned at 0.1.
"""

from __future__ import annotations

from dataclasses import replace

from omnivmed.defaults import DEFAULT_THRESHOLD
from train.claims import cases as asking
from train.claims.parts import Parts, make
from train.claims.record import average, difference, score
from train.claims.report import Outcome, save
from train.claims.setting import Setting
from train.claims.steps import INSTRUCT, MIXED, asked_in, stage, steps_of, train

NAMES = {
    (False, False): "neither",
    (True, False): "training only",
    (False, True): "inference only",
    (True, True): "both",
}


def run(setting: Setting, parts: Parts | None = None) -> str:
    """Markdown; everything lands in ``OUT/pruning_stage``. The 2D start is shared with ``transfer``."""
    parts = parts or make(setting)
    folder, steps = setting.out / "pruning_stage", steps_of(setting.minutes)
    start = train(parts, setting.out / f"shared/instruct-{steps}", stage(INSTRUCT, steps), setting.seed)
    more = max(1, steps // 2)
    said, asked = {}, {}
    for trained in (False, True):
        # the name decides what a batch holds: both arms see the same studies under the same questions
        kind = replace(MIXED, threshold=DEFAULT_THRESHOLD if trained else None)
        where = folder / f"{'pruned' if trained else 'whole'}-{steps}-{more}"
        weights = train(parts, where, stage(kind, more), setting.seed, start)
        asked[trained] = asked_in(where)
        for shown in (False, True):
            cases = asking.sequences(parts.nano, DEFAULT_THRESHOLD if shown else None)
            name = NAMES[trained, shown]
            file = folder / f"predictions/{name.replace(' ', '-')}-{steps}-{more}.jsonl"
            said[name] = asking.ask_arm(parts, weights, cases, file)
    cells = [score(arm, m, v) for arm, rows in said.items() for m, v in asking.by_task(rows).items()]
    cells += [
        average(arm, "visual tokens a study", rows, [float(r.tokens) for r in rows], "tokens")
        for arm, rows in said.items()
    ]
    majority = asking.majority(said["neither"])
    cells += [score("majority", m, v) for m, v in asking.by_task(majority).items()]
    pairs = (
        ("both", "inference only"),
        ("both", "neither"),
        ("training only", "neither"),
        ("inference only", "neither"),
    )
    differences = [difference(a, said[a], b, said[b], "all") for a, b in pairs]
    outcome = Outcome(
        "pruning_stage",
        "Pruning in training, at inference, both, neither",
        "pruning is on in the third stage and at inference; it keeps or improves the scores.",
        (
            f"2D start of {steps} steps, then {more} steps with volumes and clips ({asked[False]} questions, whole or "
            f"pruned at {DEFAULT_THRESHOLD}), seed {setting.seed}.",
            f"Asked about volumes (every plane) and clips of unseen patients, {asking.FRAMES} slices or frames; exact "
            "sentence.",
        ),
        tuple(cells),
        tuple(differences),
        {"steps": steps, "more": more},
    )
    by = {(c.arm, c.measure): c for c in cells}
    names = list(asking.by_task(majority))
    series = {arm: [(m, by[arm, m]) for m in names] for arm in (*said, "majority")}
    return save(outcome, folder, series, "questions about volumes and clips")
