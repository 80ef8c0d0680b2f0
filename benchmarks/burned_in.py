"""How much burned-in text is found, and how often something else is taken for it.

    python -m benchmarks.burned_in                                     # drawn pictures (benchmarks/overlays.py)
    python -m benchmarks.burned_in --methods morphology detector tesseract
    python -m benchmarks.burned_in --data FOLDER --most 300            # false alarms on pictures of a folder

A line of text counts as found when at least 95 % of its ink lies in the boxes, because that is what painting out
needs. Intervals: bootstrap over pictures (recall), Wilson (pictures with a false alarm). Seconds are of one core.
Needs the extra `text`; the other methods are what it was chosen over.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.overlays import SCENES, SIZES, display, draw
from omnivmed.eval.intervals import bootstrap, wilson
from omnivmed.frames import Box
from omnivmed.io import burned_in

Method = Callable[[NDArray[np.uint8]], list[Box]]
COVERED = 0.95
SUFFIXES = (".png", ".jpg", ".jpeg", ".dcm", ".gz", ".nrrd", ".mp4", ".mov", ".mpeg", ".tif")


def ours() -> Method:
    """`omnivmed.io.burned_in` with one engine for all pictures."""
    from rapidocr import RapidOCR

    engine = RapidOCR(params=burned_in.PARAMS)

    def run(rgb: NDArray[np.uint8]) -> list[Box]:
        found = burned_in._found(engine, rgb)
        return burned_in.merged([burned_in.widened(box, rgb.shape[:2]) for box in found])

    return run


def detector() -> Method:
    """The detector alone, as the library sets it."""
    from rapidocr import RapidOCR

    engine = RapidOCR(
        params={**burned_in.PARAMS, "Global.use_rec": False, "Det.thresh": 0.3, "Det.box_thresh": 0.5}
    )

    def run(rgb: NDArray[np.uint8]) -> list[Box]:
        result: Any = engine(np.ascontiguousarray(rgb[..., ::-1]), use_det=True, use_cls=False, use_rec=False)
        corners = [] if result.boxes is None else [np.asarray(b) for b in result.boxes]
        boxes = [
            (int(c[:, 1].min()), int(c[:, 0].min()), int(c[:, 1].max()) + 1, int(c[:, 0].max()) + 1)
            for c in corners
        ]
        return burned_in.merged([burned_in.widened(box, rgb.shape[:2]) for box in boxes])

    return run


def morphology() -> Method:
    """By hand: bright or dark strokes (top hat), closed into lines."""

    def run(rgb: NDArray[np.uint8]) -> list[Box]:
        grey = cv2.resize(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), None, fx=2, fy=2)
        boxes: list[Box] = []
        for view in (grey, 255 - grey):
            strokes = cv2.morphologyEx(view, cv2.MORPH_TOPHAT, np.ones((31, 31), np.uint8)) > 60
            lines = cv2.morphologyEx(strokes.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 25), np.uint8))
            _, _, parts, _ = cv2.connectedComponentsWithStats(lines)
            for x, y, w, h, area in parts[1:]:
                if 10 <= h <= 120 and w >= 1.6 * h and area > 0.35 * w * h:
                    boxes.append((int(y) // 2, int(x) // 2, int(y + h) // 2 + 1, int(x + w) // 2 + 1))
        return [burned_in.widened(box, rgb.shape[:2]) for box in boxes]

    return run


def tesseract() -> Method:
    """The `tesseract` program (sparse text, twice the size), if it is installed."""
    if shutil.which("tesseract") is None:
        raise SystemExit("tesseract is not installed")

    def run(rgb: NDArray[np.uint8]) -> list[Box]:
        with tempfile.TemporaryDirectory() as folder:
            name = os.path.join(folder, "a.png")
            cv2.imwrite(name, cv2.resize(rgb, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)[..., ::-1])
            told = subprocess.run(
                ["tesseract", name, "-", "--psm", "11", "tsv"],
                capture_output=True,
                text=True,
                check=False,
                env={**os.environ, "OMP_THREAD_LIMIT": "1"},
            ).stdout
        boxes: list[Box] = []
        for line in told.splitlines()[1:]:
            cells = line.split("\t")
            if cells[0] == "5" and burned_in.reads_as_text(cells[11], float(cells[10]) / 60):
                x, y, w, h = (int(n) // 2 for n in cells[6:10])
                boxes.append((y, x, y + h + 1, x + w + 1))
        return burned_in.merged([burned_in.widened(box, rgb.shape[:2]) for box in boxes])

    return run


METHODS: dict[str, Callable[[], Method]] = {
    "ours": ours,
    "detector": detector,
    "morphology": morphology,
    "tesseract": tesseract,
}


def on_drawn(method: Method, seeds: int) -> dict[str, Any]:
    """Recall per scene, size and kind of line; pictures without text that get a box; seconds per picture."""
    hits: dict[str, list[tuple[float, str]]] = defaultdict(list)
    alarms: dict[str, list[bool]] = defaultdict(list)
    seconds: list[float] = []
    for scene in SCENES:
        for light in (False, True):
            for seed in range(seeds):
                for cap in (None, *SIZES[scene]):
                    drawn = draw(scene, seed, cap, light)
                    rgb = display(drawn)
                    began = _cpu()
                    boxes = method(rgb)
                    seconds.append(_cpu() - began)
                    if cap is None:
                        alarms[scene].append(bool(boxes))
                        continue
                    covered = np.zeros(rgb.shape[:2], bool)
                    for top, left, bottom, right in boxes:
                        covered[top:bottom, left:right] = True
                    for line in drawn.lines:
                        hit = float(covered[line.ink].mean() >= COVERED)
                        group = f"{scene} {light} {seed} {cap}"
                        what = "letter" if line.shape == "letter" else "words"
                        for name in (
                            f"{scene} {what} {cap} px",
                            f"{scene} {what}",
                            f"{what}",
                            f"{what} in the {line.place}",
                            f"{what} {line.look}",
                        ):
                            hits[name].append((hit, group))
    return {
        "recall": {name: _share(found) for name, found in sorted(hits.items())},
        "false_alarms": {
            name: _alarm(found)
            for name, found in [*alarms.items(), ("all", [one for group in alarms.values() for one in group])]
        },
        "seconds_median": round(float(np.median(seconds)), 2),
        "seconds_max": round(max(seconds), 2),
    }


def on_folder(method: Method, folder: Path, most: int) -> dict[str, Any]:
    """How many pictures of a folder get a box, per first subfolder (one picture per study: its middle)."""
    from omnivmed import StudyError, open_study

    files = [path for path in sorted(folder.rglob("*")) if path.name.lower().endswith(SUFFIXES)]
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        groups[path.relative_to(folder).parts[0]].append(path)
    alarms: dict[str, list[bool]] = defaultdict(list)
    marked: list[str] = []
    draw_from = random.Random(0)
    for name, paths in sorted(groups.items()):
        for path in draw_from.sample(paths, min(most, len(paths))):
            try:
                with open_study(path, isolated=False) as study:
                    picture = study.take([len(study) // 2])[0]
            except StudyError:
                continue
            boxes = method(picture)
            alarms[name].append(bool(boxes))
            if boxes:
                marked.append(f"{path.relative_to(folder)} {boxes}")
    return {"false_alarms": {name: _alarm(found) for name, found in sorted(alarms.items())}, "marked": marked}


def _cpu() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _share(found: list[tuple[float, str]]) -> dict[str, Any]:
    low, high = bootstrap([hit for hit, _ in found], [group for _, group in found])
    hits = sum(hit for hit, _ in found)
    return {
        "found": int(hits),
        "of": len(found),
        "share": round(hits / len(found), 3),
        "95%": [round(low, 3), round(high, 3)],
    }


def _alarm(found: list[bool]) -> dict[str, Any]:
    low, high = wilson(sum(found), len(found))
    return {"pictures": sum(found), "of": len(found), "95%": [round(low, 3), round(high, 3)]}


def main() -> None:
    """Print one JSON object per method."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=["ours"])
    parser.add_argument("--seeds", type=int, default=6, help="pictures per scene, ground and size (6)")
    parser.add_argument("--data", type=Path, help="a folder of pictures instead of drawn ones")
    parser.add_argument("--most", type=int, default=40, help="pictures per subfolder (40)")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    for name in args.methods:
        method = METHODS[name]()
        began = time.monotonic()
        told = on_folder(method, args.data, args.most) if args.data else on_drawn(method, args.seeds)
        print(
            json.dumps({"method": name, **told, "wall_s": round(time.monotonic() - began)}, indent=1),
            flush=True,
        )


if __name__ == "__main__":
    main()
