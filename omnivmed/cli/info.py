"""`info FILE`: what was found in it, how it will be shown, and which frames a model would be given."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from omnivmed.cli.common import ProgressLine, open_from

if TYPE_CHECKING:
    from omnivmed.study import Study


def run(args: argparse.Namespace) -> int:
    """Print the study's facts as lines or as JSON; no name, no path, no header text."""
    from omnivmed.io import can_find_text, find_text

    with open_from(args, ProgressLine()) as opened:
        study = find_text(opened) if can_find_text() else opened
        facts = facts_of(study)
    if args.json:
        print(json.dumps(facts, indent=1))
        return 0
    for name, value in facts.items():
        if name == "text_boxes":
            print(f"text in the picture: {_text_line(value)}")
            continue
        if value in (None, [], ""):
            continue
        if name in ("notes", "presets", "series"):
            print(f"{name}:")
            for entry in value:
                print(f"  {_line(entry)}")
        else:
            print(f"{name}: {_line(value)}")
    return 0


def facts_of(study: Study) -> dict[str, Any]:
    """All that `info` says, as JSON values."""
    from omnivmed.vision import sample_frames
    from omnivmed.vision.budget import NANO_BUDGET

    times = study.times_s
    taken = sample_frames(study, NANO_BUDGET)  # what `prune` and `ask` take where nobody says otherwise
    return {
        "kind": study.kind,
        "shape": list(study.shape),
        "channels": study.channels,
        "stored": str(study.dtype),
        "unit": study.unit,
        "modality": study.modality,
        "body_part": study.body_part,
        "plane": study.plane,
        "spacing_mm": None if study.spacing_mm is None else list(study.spacing_mm),
        "spacing_at": None if study.spacing_mm is None else study.spacing_at,
        "duration_s": None if times is None else round(float(times[-1] - times[0]), 3),
        "edges": None if study.edge_letters() is None else "".join(study.edge_letters() or ()),
        "inverted": study.inverted,
        "window": None if study.window is None else list(study.window),
        "presets": [list(preset) for preset in study.presets],
        "frames_taken": [int(i) for i in taken],
        "budget": NANO_BUDGET.name,
        "text_boxes": None if study.text_boxes is None else [list(box) for box in study.text_boxes],
        "warnings": study.warnings,
        "notes": study.notes,
        "series": study.series,
    }


def _text_line(boxes: list[list[int]] | None) -> str:
    """What a search for burned-in text found: places as top, left, bottom, right in pixels."""
    if boxes is None:
        return "not looked for (pip install 'omnivmed[text]')"
    if not boxes:
        return "none found; some text may be missed"
    places = "; ".join(", ".join(str(n) for n in box) for box in boxes)
    return f"found, at (top, left, bottom, right) {places}; there may be more"


def _line(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {entry}" for key, entry in value.items() if entry is not None)
    if isinstance(value, list) and len(value) > 12 and all(isinstance(v, int) for v in value):
        return f"{len(value)}: {value[0]}, {value[1]} … {value[-1]}"
    if isinstance(value, list):
        return ", ".join("?" if v is None else f"{v:g}" if isinstance(v, float) else str(v) for v in value)
    return str(value)
