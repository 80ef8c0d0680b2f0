"""What nano's encoder makes of the pictures it was trained on, and of others: the statistics of the unknown-kind gate.

`gather` runs the product's encoder over training pictures (with augmented views), over held-out ones, and over
pictures of no kind it was trained on; `fit` reduces them to the small file that ships (`omnivmed.spoken.familiar`) and
measures it. A still is a picture of 36 tokens, a slice or frame one of 16: each is compared with its own kind.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from omnivmed.eval.intervals import wilson
from omnivmed.inference.engine import LocalAssistant
from omnivmed.spoken.familiar import FORMAT, PARTS, Line
from omnivmed.study import Study
from omnivmed.vision import prepare
from train.loop.store import write_json
from train.nano.data.bank import Entry
from train.nano.data.strangers import drawn, held, photographs
from train.nano.data.views import Item, augment, items_of, labels_of, picture

TRAINED_ON = "X-rays, CT, MRI, lung ultrasound, blood smears, a few of fundus and keyhole surgery"
UNSEEN = ("totalseg_ct", "mri_vs_seg")  # sources that nano was never trained on
FIT_PHOTOGRAPHS, FIT_DRAWN = 1300, 900
EXAMPLES, OTHERS, NUMBERS = 3600, 1600, 48
LEAST = (
    0.15  # a known picture is at least e^0.15 = 1.16 times nearer to training pictures than to other things
)
PER_CELL = 160  # pictures of one cell (source, kind, body part, plane)
VIEWS = 1  # augmented views beside each clean picture
BATCH = 16


@dataclass(frozen=True)
class Seen:
    """Pooled features of pictures. pooled: (N, 2·width), mean and deviation over the tokens of one picture."""

    pooled: np.ndarray
    labels: list[dict[str, str]]


def pool(tokens_NTW: np.ndarray) -> np.ndarray:
    """(N, tokens, width) → (N, 2·width)."""
    return np.concatenate([tokens_NTW.mean(1), tokens_NTW.std(1)], 1)


def encode(model: LocalAssistant, pictures: Sequence[np.ndarray], still: bool) -> np.ndarray:
    """Pictures uint8 (h, w[, 3]) of one size → pooled features, as the product reads a still or a frame."""
    stack = np.stack([p if p.ndim == 3 else np.repeat(p[..., None], 3, -1) for p in pictures])
    rows = []
    for part in (stack[i : i + 1] for i in range(len(stack))) if still else (stack,):
        with Study.from_array(part, "image" if still else "video") as study:
            patches = prepare(study, model.budget, frame_index=np.arange(len(part)))
        features = None
        for _, found in model.runtime.encode(patches):
            features = found
        assert features is not None
        rows.append(pool(features.float().numpy().reshape(len(part), -1, features.shape[-1])))
    return np.concatenate(rows)


def cells(bank: dict[str, Entry], split: str, seed: int = 0) -> Iterator[tuple[str, Entry, Item]]:
    """(cell, record, picture): at most PER_CELL of each, evenly drawn."""
    found: dict[str, list[tuple[Entry, Item]]] = {}
    for entry in bank.values():
        if entry.record.split != split:
            continue
        for item in items_of(entry):
            labels = labels_of(entry, item)
            key = "/".join(
                [
                    entry.record.source,
                    *(labels.get(a, "-") for a in ("modality", "organ", "plane", "sequence")),
                ]
            )
            found.setdefault(key, []).append((entry, item))
    rng = np.random.default_rng(seed)
    for key, members in sorted(found.items()):
        for i in rng.permutation(len(members))[:PER_CELL]:
            yield (key, *members[i])


def gather(
    bank: dict[str, Entry], model: LocalAssistant, split: str, folder: Path, views: int = VIEWS
) -> None:
    """Features of a split as a still and as a frame, `folder/SPLIT-{still,frame}.npz`; what is there is kept."""
    for part in PARTS:
        target = folder / f"{split}-{part}.npz"
        if target.exists():
            continue
        rng = np.random.default_rng(1)
        pooled, labels = [], []
        for key, entry, item in cells(bank, split):
            kind = entry.record.kind
            if part == "frame" and kind == "image":
                continue
            looks = [picture(entry, item)] + [augment(picture(entry, item, rng), rng) for _ in range(views)]
            for n, look in enumerate(looks):
                pooled.append(encode(model, [look], part == "still")[0])
                labels.append({"cell": key, "patient": entry.record.patient, "view": str(n)})
        _keep(target, pooled, labels)


def gather_strangers(packages: Path, model: LocalAssistant, folder: Path) -> None:
    """The same of pictures of other things: `fit`, to draw the line against, and `held`, to measure it."""
    rng = np.random.default_rng(0)
    sets = {
        "fit": [*photographs(packages, rng, FIT_PHOTOGRAPHS), *drawn(rng, FIT_DRAWN)],
        "held": list(held(packages)),
    }
    for name, pictures in sets.items():
        for part in PARTS:
            target = folder / f"{name}-{part}.npz"
            if not target.exists():
                pooled = [encode(model, [look], part == "still")[0] for _, look in pictures]
                _keep(target, pooled, [{"cell": kind} for kind, _ in pictures])


def _keep(target: Path, pooled: Sequence[np.ndarray], labels: Sequence[dict[str, str]]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    write_json({"labels": list(labels)}, target.with_suffix(".json"))
    np.savez(target, pooled=np.stack(pooled).astype(np.float16))
    print(f"{target.name}: {len(labels)} pictures", flush=True)


def load(folder: Path, name: str, part: str) -> Seen:
    """What `gather` kept."""
    with np.load(folder / f"{name}-{part}.npz") as z:
        pooled = z["pooled"].astype(np.float32)
    labels = json.loads((folder / f"{name}-{part}.json").read_text())["labels"]
    return Seen(pooled, labels)


def fit(train: Seen, other: Seen) -> Line:
    """The line between training pictures and other things; every cell of the training set has its share of examples."""
    mean, deviation = train.pooled.mean(0), train.pooled.std(0) + 1e-6
    known, strange = (train.pooled - mean) / deviation, (other.pooled - mean) / deviation
    both = np.concatenate([known, strange])[::5]
    _, size, axes = np.linalg.svd(both, full_matrices=False)
    basis = axes[:NUMBERS].T / np.sqrt(size[:NUMBERS] / np.sqrt(len(both)))[None]
    rng = np.random.default_rng(2)
    found: dict[str, list[int]] = {}
    for i, label in enumerate(train.labels):
        found.setdefault(label["cell"], []).append(i)
    roots = {
        key: len(rows) ** 0.75 for key, rows in found.items()
    }  # many looks of one kind tell more, but not in step
    each = {key: round(EXAMPLES * root / sum(roots.values())) for key, root in roots.items()}
    chosen = np.concatenate([rng.permutation(rows)[: each[key]] for key, rows in found.items()])
    outside = rng.permutation(len(strange))[:OTHERS]
    half = [
        t.astype(np.float16).astype(np.float32)
        for t in (basis, known[chosen] @ basis, strange[outside] @ basis)
    ]
    return Line(mean, deviation, half[0], half[1], half[2], LEAST)


def save(lines: dict[str, Line], words: str, path: Path) -> None:
    """The file that ships (`omnivmed.spoken.familiar.FILE`)."""
    tensors: dict[str, np.ndarray] = {}
    for part, line in lines.items():
        tensors |= {f"{part}.mean": line.mean, f"{part}.deviation": line.deviation}
        tensors |= {f"{part}.{n}": getattr(line, n).astype(np.float16) for n in ("basis", "known", "other")}
        tensors[f"{part}.least"] = np.array([line.least], np.float32)
    save_file(tensors, path, {"format": FORMAT, "words": json.dumps(words)})


def table(lines: dict[str, Line], folder: Path) -> str:
    """Markdown: what is held back wrongly, by source, and what is held back rightly, by kind; 95 % Wilson intervals."""
    rows = [
        "| pictures | as a still: n | held back, % | as a frame: n | held back, % |",
        "|---|---|---|---|---|",
    ]
    for name in ("test", "held"):
        found: dict[str, dict[str, list[bool]]] = {}
        for part in PARTS:
            seen, line = load(folder, name, part), lines[part]
            for label, score in zip(seen.labels, line.scores(seen.pooled), strict=True):
                cell = label["cell"].split("/")[0]
                keys = [cell]
                if name == "test":
                    keys.append(
                        "all unseen patients of sources trained on"
                        if cell not in UNSEEN
                        else "sources never trained on"
                    )
                else:
                    keys.append("all of these")
                for key in keys:
                    found.setdefault(key, {}).setdefault(part, []).append(bool(score < line.least))
        for key in sorted(found, key=lambda k: (" " in k and name == "test", k.startswith("all"), k)):
            cells_ = [found[key].get(part, []) for part in PARTS]
            rows.append(f"| {key} | " + " | ".join(f"{len(c)} | {_share(c)}" for c in cells_) + " |")
    return "\n".join(rows)


def _share(hits: Sequence[bool]) -> str:
    if not hits:
        return ""
    low, high = wilson(sum(hits), len(hits))
    return f"{100 * sum(hits) / len(hits):.1f} [{100 * low:.1f}-{100 * high:.1f}]"


def familiar(bank: dict[str, Entry], model: LocalAssistant, packages: Path, folder: Path, out: Path) -> str:
    """All of it: gather, fit, write `out`; the table of how well it does."""
    for split in ("test", "dev", "train"):
        gather(bank, model, split, folder, VIEWS if split == "train" else 0)
    gather_strangers(packages, model, folder)
    lines = {part: fit(load(folder, "train", part), load(folder, "fit", part)) for part in PARTS}
    save(lines, TRAINED_ON, out)
    return table(lines, folder)
