"""Thresholds 0, 0.05, 0.1 and 0.3 with one model, without training: score, tokens, seconds (OmniV-Med §4, ablation).

The product's own engine answers about test volumes (every plane) and clips. For every threshold a study starts from
nothing, so the seconds are those of a first question: pruning, encoding, reading. The encoder sees every frame
whatever the threshold, so only reading and decoding can become faster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from omnivmed.inference import AskOptions
from omnivmed.study import Study
from train.claims import cases as asking
from train.claims.record import Said, average, difference, read, score, write
from train.claims.report import Outcome, save
from train.claims.setting import Setting
from train.nano.data.bank import Entry
from train.nano.data.studies import planes_of
from train.nano.data.views import isotropic, plane_length, slice_values, volume_window
from train.nano.text.questions import QA

THRESHOLDS = (0.0, 0.05, 0.1, 0.3)
NEW_TOKENS = 32


@dataclass(frozen=True)
class Asked:
    """A study and its questions."""

    name: str
    patient: str
    study: Study
    questions: list[QA]


def frames_of(entry: Entry, plane: str | None) -> np.ndarray:
    """uint8 (T,H,W) or (T,H,W,3): the clip, or all slices of a plane under one window for the whole volume."""
    if plane is None:
        return entry.array
    assert entry.spacing_mm is not None
    low, high = volume_window(entry, None)
    z, y, x = entry.spacing_mm
    row_mm, col_mm = {"axial": (y, x), "coronal": (z, x), "sagittal": (z, y)}[plane]
    out = []
    for index in range(plane_length(entry, plane)):
        values = slice_values(entry, plane, index).astype(np.float32)
        shown = isotropic(np.clip((values - low) / (high - low), 0, 1), row_mm, col_mm)
        out.append((shown * 255).round().astype(np.uint8))
    return np.stack(out)


def studies(bank: dict[str, Entry], most: int | None = None) -> list[Asked]:
    """Test volumes (every plane) and clips in the order of the index; ``most`` of them, evenly chosen."""
    rng = np.random.default_rng(33)
    views = [
        (entry, plane)
        for entry in bank.values()
        if entry.record.split == "test" and entry.record.kind != "image"
        for plane in ([None] if entry.record.kind == "video" else planes_of(entry))
    ]
    if most is not None and most < len(views):
        views = [views[round(i)] for i in np.linspace(0, len(views) - 1, most)]
    out: list[Asked] = []
    for entry, plane in views:
        video = entry.record.kind == "video"
        labels = dict(entry.record.labels) | ({"plane": plane} if plane else {})
        asked = asking.questions(labels, "video" if video else "volume", rng)
        if asked:
            frames = frames_of(entry, plane)
            rgb = frames if frames.ndim == 4 else np.repeat(frames[..., None], 3, -1)
            study = Study.from_array(
                rgb,
                "video" if video else "volume",
                times_s=np.asarray(entry.times_s) if video else None,
            )
            name = f"{entry.record.id}:{plane or 'clip'}"
            out.append(Asked(name, entry.record.patient, study, asked))
    return out


def ask(assistant: Any, cases: list[Asked], threshold: float) -> list[Said]:
    """Every question; seconds and tokens stand with the first of each study, which starts from nothing."""
    out = []
    for case in cases:
        assistant.forget(case.study)
        for number, qa in enumerate(case.questions):
            given = assistant.answer(
                case.study,
                qa.question,
                options=AskOptions(
                    threshold, max_frames=asking.FRAMES, max_new_tokens=NEW_TOKENS, alone=True
                ),
            )
            first = number == 0
            out.append(
                Said(
                    case.name,
                    case.patient,
                    qa.task,
                    qa.question,
                    qa.plain,
                    given.text,
                    case.study.kind,
                    given.usage["visual_tokens_after"] if first else 0,
                    given.timings_s["first_token"] if first else 0.0,
                    given.timings_s["prefill"] if first else 0.0,
                )
            )
        assistant.forget(case.study)
    return out


def run(setting: Setting, assistant: Any = None) -> str:
    """Markdown; everything lands in ``OUT/thresholds``. ``minutes`` bounds nothing here: there is no training."""
    folder, bank = setting.out / "thresholds", setting.load_bank()
    cases = studies(bank, setting.studies)
    said: dict[str, list[Said]] = {}
    for threshold in THRESHOLDS:
        file = folder / f"predictions/{threshold:g}.jsonl"
        if not file.exists():
            if assistant is None:
                from omnivmed.inference import load_model

                assistant = load_model(setting.model, offline=True)
                assistant.silent = {}  # what pruning does to the reading of the model, not what it may say
                ask(assistant, cases[:1], 0.1)  # the first question of a process also pays for its start
            write(file, ask(assistant, cases, threshold))
        said[f"{threshold:g}"] = read(file)
    cells = []
    for arm, rows in said.items():
        cells += [score(arm, m, v) for m, v in asking.by_task(rows).items()]
        fresh = [r for r in rows if r.tokens]
        cells.append(average(arm, "visual tokens", fresh, [float(r.tokens) for r in fresh], "tokens"))
        cells.append(average(arm, "first token", fresh, [r.seconds for r in fresh], "s"))
        cells.append(average(arm, "reading (prefill)", fresh, [r.prefill_s for r in fresh], "s"))
    guess = asking.majority(said["0"])
    cells += [score("majority", m, v) for m, v in asking.by_task(guess).items()]
    differences = [difference(a, said[a], "0", said["0"], "all") for a in said if a != "0"]
    kinds = [c.study.kind for c in cases]
    outcome = Outcome(
        "thresholds",
        "Pruning thresholds",
        "0 → 0.1 → 0.3: Cholec80 91.43 / 91.69 / 90.54, EndoVis18 77.05 / 78.81 / 74.64, "
        "PSI-AVA 63.53 / 64.80 / 61.82; about 60 % fewer tokens at 0.1.",
        (
            f"Inference only, {setting.model}, {kinds.count('volume')} volume planes and {kinds.count('video')} clips "
            f"of unseen patients, at most {asking.FRAMES} slices or frames, greedy; exact sentence.",
            "Asked without the ship rule: types of answer that the app holds back are scored here too.",
            "Threshold 0 still drops tokens that are identical to their predecessor (black background).",
            "Seconds: first question of a study that the engine has never met, on this machine.",
        ),
        tuple(cells),
        tuple(differences),
        {"studies": [c.name for c in cases]},
    )
    by = {(c.arm, c.measure): c for c in cells}
    tasks = list(asking.by_task(guess))
    series = {t: [(float(a), by[a, t]) for a in said] for t in tasks}
    return save(outcome, folder, series, "threshold")
