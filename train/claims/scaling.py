"""More questions, better answers? The same recipe on 1/8, 1/4, 1/2 and all of the questions, each seen once."""

from __future__ import annotations

import itertools

from train.claims import cases as asking
from train.claims.parts import Parts, make
from train.claims.record import difference, score
from train.claims.report import Outcome, save
from train.claims.setting import Setting
from train.claims.steps import INSTRUCT, asked_in, stage, steps_of, train

FRACTIONS = (0.125, 0.25, 0.5, 1.0)


def run(setting: Setting, parts: Parts | None = None) -> str:
    """Markdown; everything lands in ``OUT/scaling``. The whole arm is shared with ``transfer``."""
    parts = parts or make(setting)
    folder, whole = setting.out / "scaling", steps_of(setting.minutes)
    cases = asking.stills(parts.nano, setting.stills)
    said, asked, weights = {}, {}, parts.start
    said["start"] = asking.ask_arm(parts, weights, cases, folder / "predictions/start.jsonl")
    for fraction in FRACTIONS:
        steps = max(1, round(whole * fraction))
        where = setting.out / f"shared/instruct-{steps}"
        weights = train(parts, where, stage(INSTRUCT, steps), setting.seed)
        arm = f"{asked_in(where)} questions"
        said[arm] = asking.ask_arm(parts, weights, cases, folder / f"predictions/instruct-{steps}.jsonl")
        asked[arm] = asked_in(where)
    names = list(asked)
    said["majority"] = asking.majority(said[names[-1]])
    cells = [score(arm, m, v) for arm, rows in said.items() for m, v in asking.by_task(rows).items()]
    differences = [difference(b, said[b], a, said[a], "all") for a, b in itertools.pairwise(names)]
    outcome = Outcome(
        "scaling",
        "Data scaling",
        "scores rise with the amount of instruction data.",
        (
            f"2D questions, each seen once: less data is also fewer steps (at most {whole}); every arm has its own "
            f"cosine schedule; the smaller sets are the beginnings of the larger, seed {setting.seed}.",
            "One whole-sentence question per known fact of pictures of unseen patients; exact sentence.",
        ),
        tuple(cells),
        tuple(differences),
        {"steps": whole, "asked": asked},
    )
    by = {(c.arm, c.measure): c for c in cells}
    tasks = list(asking.by_task(said[names[-1]]))
    series = {t: [(float(asked[n]), by[n, t]) for n in names] for t in tasks}
    return save(outcome, folder, series, "questions seen", logarithmic=True)
