"""What linear probes say beyond nano's own tasks: sources left out, and kinds of answer nano is not trained for.

Three questions, all of the frozen, untuned encoder (mean and max pooled, logistic regression), no language model:

* **leave one source out**: trained on every other source, asked about all pictures of this one. Where that falls
  to the majority, a trained answer about such a source rests on the look of the source, not on the anatomy;
* **further findings**: each chest finding against the other abnormal films, platelets in blood smears;
* **lesion slices**: is there a lesion in this slice, with the patient left out.

Majority is the commonest true answer among what is asked (where a source has one value only, that is no baseline and
none is named). A kind of answer is worth training only where the probe's 95 % interval lies above it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from omnivmed.eval.intervals import wilson
from train.loop.store import write_json
from train.nano.data.bank import Entry, read_volume
from train.nano.data.index import FINDINGS
from train.nano.data.views import STILL_TOKENS, Item, fit, picture
from train.nano.measure.score import Score
from train.nano.parts.encoder import Vit
from train.nano.parts.features import FeatureSet, features_of, joined, linear_probe
from train.nano.text.questions import SHORT_TASKS

Labels = dict[str, str]
LEAST = 20  # pictures asked about: below that a share says nothing
# volumes with a mask of their lesions: bank record, mask below the data folder, patient
MS_LESIONS = tuple(
    (f"mri_open_ms/{p}_{s}.nii.gz", f"mri_open_ms/{p}_GOLD_STANDARD.nii.gz", p)
    for p in ("cs_patient07", "cs_patient19")
    for s in ("FLAIR", "T1", "T2")
)


def chosen(features: FeatureSet, keep: Callable[[Labels, str], bool]) -> FeatureSet:
    rows = [i for i, pair in enumerate(zip(features.labels, features.sources, strict=True)) if keep(*pair)]
    index = torch.tensor(rows, dtype=torch.int64)
    return FeatureSet(
        features.features[index],
        features.counts[index],
        [features.labels[i] for i in rows],
        [features.sources[i] for i in rows],
    )


def relabelled(features: FeatureSet, name: str, value: Callable[[Labels], str | None]) -> FeatureSet:
    """One attribute ``name`` computed from the labels; pictures without a value have none."""
    labels = [{name: v} if (v := value(la)) else {} for la in features.labels]
    return replace(features, labels=labels)


def everything(labels: Labels, source: str) -> bool:
    return True


def row(train: FeatureSet, test: FeatureSet, attribute: str) -> tuple[Score, Score] | None:
    """(probe, majority) over all pictures asked about; None where too few have the label or a value to learn."""
    result = linear_probe(train, test, attribute, everything).get("all")
    known = {la.get(attribute) for la in train.labels}
    asked = Counter(v for la in test.labels if (v := la.get(attribute)) and v in known)
    if result is None or result[1] < LEAST:
        return None
    return Score(*result), Score(max(asked.values()), sum(asked.values()))


def leave_one_source_out(train: FeatureSet, everywhere: FeatureSet) -> dict[str, tuple[Score, Score]]:
    """``task@source`` → (probe, majority). ``train``: what may be learnt from; ``everywhere``: every clean picture."""
    out = {}
    for task in SHORT_TASKS:
        for source in sorted(set(everywhere.sources)):
            others = chosen(train, lambda labels, s, own=source: s != own)  # type: ignore[misc]
            own = chosen(everywhere, lambda labels, s, own=source: s == own)  # type: ignore[misc]
            if (found := row(others, own, task)) is not None:
                out[f"{task}@{source}"] = found
    return out


def further_findings(train: FeatureSet, test: FeatureSet) -> dict[str, tuple[Score, Score]]:
    """Chest findings among abnormal films, platelets in smears: what the labels hold and nano is not asked."""
    out = {}
    for finding in FINDINGS:
        name = finding.lower()

        def value(labels: Labels, name: str = name) -> str | None:
            if labels.get("state") != "abnormal" or "findings" not in labels:
                return None
            return "yes" if name in labels["findings"].split(",") else "no"

        found = row(relabelled(train, name, value), relabelled(test, name, value), name)
        if found is not None:
            out[f"{name} among abnormal chest films"] = found

    def platelets(labels: Labels) -> str | None:
        return None if "platelets" not in labels else "none" if labels["platelets"] == "0" else "some"

    pair = [relabelled(part, "platelets", platelets) for part in (train, test)]
    if (found := row(pair[0], pair[1], "platelets")) is not None:
        out["platelets in a blood smear, some or none"] = found
    return out


def lesion_slices(bank: dict[str, Entry], data: Path, vit: Vit) -> dict[str, tuple[Score, Score]]:
    """Is a lesion in this axial slice: MS plaques (the other patient is learnt from) and DeepLesion blocks."""
    ct = []
    file = data / "ct_deeplesion/labels.json"
    for one in json.loads(file.read_text()) if file.exists() else []:
        name = str(one["image"])
        ct.append((f"ct_deeplesion/{name}", f"ct_deeplesion/{one['mask']}", name.split("_")[2]))
    out = {}
    for name, triples in (("MS lesion in an MR slice", MS_LESIONS), ("lesion in a CT slice", tuple(ct))):
        parts: dict[str, FeatureSet] = {}
        for record, mask, patient in triples:
            if record in bank and (data / mask).exists():
                made = slices_with_lesion(bank[record], data / mask, vit)
                parts[patient] = joined(parts[patient], made) if patient in parts else made
        right = asked = most = 0
        for patient, own in parts.items():
            rest = [p for other, p in parts.items() if other != patient]
            if not rest:
                continue
            train = rest[0]
            for more in rest[1:]:
                train = joined(train, more)
            result = linear_probe(train, own, "lesion", everything)
            if "all" in result:
                right, asked = right + result["all"][0], asked + result["all"][1]
                most += max(Counter(la["lesion"] for la in own.labels).values())
        if asked >= LEAST:
            out[name] = (Score(right, asked), Score(most, asked))
    return out


def slices_with_lesion(entry: Entry, mask: Path, vit: Vit) -> FeatureSet:
    """Axial slices of the middle four fifths, each labelled by whether its mask is not empty."""
    values, _ = read_volume(mask.parent, mask.name)
    n = min(len(values), len(entry.array))
    index = np.unique(np.linspace(n // 10, n - 1 - n // 10, min(n, 48)).round().astype(int))
    pictures = [fit(picture(entry, Item(entry.record.id, "axial", int(i))), STILL_TOKENS) for i in index]
    labels = [{"lesion": "yes" if (values[i] > 0).any() else "no"} for i in index]
    return features_of(vit, pictures, labels, [entry.record.source] * len(labels))


def table(title: str, rows: dict[str, tuple[Score, Score]]) -> list[str]:
    lines = [f"## {title}", "", "| asked | n | probe | majority | above it |", "|---|---|---|---|---|"]
    for name, (probe, most) in rows.items():
        above = "yes" if wilson(probe.right, probe.asked)[0] > most.share else "no"
        share = f"{100 * most.share:.0f}"
        if most.right == most.asked:
            share, above = "one value", "-"
        lines.append(f"| {name} | {probe.asked} | {probe.cell()} | {share} | {above} |")
    return [*lines, ""]


def beyond(
    bank: dict[str, Entry], data: Path, vit: Vit, parts: dict[str, FeatureSet], out: Path
) -> dict[str, dict[str, tuple[Score, Score]]]:
    """Writes ``beyond.json`` and ``beyond.md``. ``parts``: features "train" (augmented), "clean", "test"."""
    learnt = joined(parts["train"], parts["clean"])
    rows = {
        "Sources left out": leave_one_source_out(learnt, joined(parts["clean"], parts["test"])),
        "Further findings": further_findings(learnt, parts["test"]),
        "Lesion slices, patient left out": lesion_slices(bank, data, vit),
    }
    out.mkdir(parents=True, exist_ok=True)
    plain = {t: {k: [p.right, p.asked, m.right, m.asked] for k, (p, m) in r.items()} for t, r in rows.items()}
    write_json(plain, out / "beyond.json")
    text = "\n".join(line for title, found in rows.items() for line in table(title, found))
    (out / "beyond.md").write_text(text)
    print(text, flush=True)
    return rows
