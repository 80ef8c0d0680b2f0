"""A sheet of rules: the same slices under each, what goes darkened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from omnivmed.pruning.compare import Outcome
from omnivmed.study import Study
from omnivmed.vision.patches import Patches

CELL = 176  # longest edge of a picture, pixels
LINE = 26
COLUMNS = 6  # frames shown


def rules_sheet(study: Study, patches: Patches, outcomes: Sequence[Outcome]) -> np.ndarray:
    """uint8 (H, W, 3) RGB: a row for each rule with name, count and time, a column for each of up to six frames."""
    import cv2

    t = len(patches.frame_index)
    chosen = np.unique(np.round(np.linspace(0, t - 1, min(COLUMNS, t))).astype(int))
    frames = study.take(patches.frame_index[chosen])
    ratio = CELL / max(patches.source_size)
    height, width = (max(1, round(edge * ratio)) for edge in patches.source_size)
    small = [cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in frames]
    sheet = np.zeros((len(outcomes) * (height + LINE), len(chosen) * width, 3), dtype=np.uint8)
    for row, outcome in enumerate(outcomes):
        top = row * (height + LINE)
        share = outcome.region_share
        words = f"{outcome.rule.name}: {outcome.kept} of {outcome.keep.size}, {1000 * outcome.seconds:.0f} ms"
        words += "" if share is None else f", {100 * share:.0f} % of the region"
        cv2.putText(
            sheet, words, (6, top + LINE - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (235, 235, 235), 1, cv2.LINE_AA
        )
        for column, k in enumerate(chosen):
            share_of_light = np.where(outcome.keep[k], 1.0, 0.18).astype(np.float32)
            light = cv2.resize(share_of_light, (width, height), interpolation=cv2.INTER_NEAREST)
            left = column * width
            sheet[top + LINE : top + LINE + height, left : left + width] = small[column] * light[..., None]
    return sheet


def write_rules_sheet(path: Path | str, study: Study, patches: Patches, outcomes: Sequence[Outcome]) -> None:
    """`rules_sheet` as a PNG. Raises OSError."""
    import cv2

    done, data = cv2.imencode(".png", rules_sheet(study, patches, outcomes)[..., ::-1])
    if not done:
        raise OSError("the sheet could not be encoded")
    Path(path).write_bytes(bytes(data))
