"""`python -m benchmarks.regions DATA`: how much of a marked lesion each pruning rule keeps, on every pair of study and
mask below DATA (names as the public sets have them), as the published budget and as nano's cut it. Markdown on stdout.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omnivmed import open_study
from omnivmed.pruning.compare import compare
from omnivmed.pruning.region import region_tokens
from omnivmed.vision import BUDGETS, prepare

OURS = ("previous", "last_kept")
MATCHED = ("rate", "frame_share", "random", "whole_frames")
# (study, mask) below the data folder; `*` of the study's name is what the mask is for.
PAIRS = {
    "CT, lesion blocks of 5 mm": [("ct_deeplesion/CT_*.nii.gz", "{stem}_lesion.nii.gz")],
    "MR brain, multiple sclerosis": [("mri_open_ms/cs_*_*.nii.gz", "{patient}_GOLD_STANDARD.nii.gz")],
    "MR, tumour": [("pyradiomics/*_image.nrrd", "{organ}_label.nrrd")],
}


@dataclass(frozen=True)
class Found:
    """One study under one budget: by rule (tokens kept, of all, region's tokens kept, of the region)."""

    group: str
    budget: str
    shares: dict[str, tuple[int, int, int, int]]


def pairs(data: Path) -> list[tuple[str, Path, Path]]:
    """(group, study, mask) of everything that is there."""
    out = []
    for group, patterns in PAIRS.items():
        for pattern, name in patterns:
            for study in sorted(data.glob(pattern)):
                stem = study.name.split(".")[0]
                mask = study.parent / name.format(
                    stem=stem, patient="_".join(stem.split("_")[:2]), organ=stem.removesuffix("_image")
                )
                if mask != study and mask.is_file() and not stem.endswith(("_lesion", "STANDARD")):
                    out.append((group, study, mask))
    return out


def measure(group: str, study_path: Path, mask_path: Path) -> list[Found]:
    """Both budgets. A mask of another grid raises ValueError."""
    found = []
    with open_study(study_path) as study, open_study(mask_path) as mask:
        values = mask.values(0, mask.shape[0])
        marked = (values if values.ndim == 3 else values.max(axis=-1)) > 0
        for budget in BUDGETS:
            patches = prepare(study, BUDGETS[budget])
            region = region_tokens(marked, patches)
            told = compare(patches, OURS, region=region)
            told += compare(patches, ("previous", *MATCHED), match=True, region=region)[1:]
            found.append(
                Found(
                    group,
                    budget,
                    {
                        one.rule.name: (one.kept, one.keep.size, one.region_kept or 0, one.region_tokens or 0)
                        for one in told
                    },
                )
            )
    return found


def table(found: Sequence[Found]) -> list[str]:
    """Markdown: share of tokens and share of the region's tokens, all studies of a group together; the worst study's in
    brackets."""
    lines = [
        "| studies | budget | rule | tokens kept | lesion tokens kept | worst study |",
        "|---|---|---|---|---|---|",
    ]
    for group in PAIRS:
        for budget in BUDGETS:
            own = [one for one in found if one.group == group and one.budget == budget]
            if not own:
                continue
            for rule in (*OURS, *MATCHED):
                counts = np.array([one.shares[rule] for one in own], dtype=float)
                kept, total, inside, region = counts.sum(axis=0)
                worst = min(c[2] / c[3] for c in counts if c[3])
                name = rule if rule in OURS else f"{rule}, as many as previous"
                lines.append(
                    f"| {group} ({len(own)}) | {budget} | {name} | {kept / total:.3f} | {inside / region:.3f} of "
                    f"{region:.0f} | {worst:.3f} |"
                )
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.regions", description=__doc__)
    parser.add_argument("data", type=Path)
    args = parser.parse_args()
    found: list[Found] = []
    for group, study, mask in pairs(args.data):
        print(study.name, file=sys.stderr, flush=True)
        try:
            found += measure(group, study, mask)
        except ValueError as error:
            print(f"  left out: {error}", file=sys.stderr)
    print("\n".join(table(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
