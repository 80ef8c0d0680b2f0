"""Write an overlay where the person asked for it: .png, .mp4, .gif, .json or .npz.

Each file carries the program's version, the threshold and the window, and the model where there is one; none carries
anything of the file that was opened.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from omnivmed import __version__
from omnivmed.pruning import KeepMask
from omnivmed.study import Study
from omnivmed.viz.clip import write_gif, write_mp4
from omnivmed.viz.overlay import Mode, legend, overlay
from omnivmed.viz.sheet import contact_sheet

Facts = dict[str, object]


def facts_of(mask: KeepMask, model: str | None = None) -> Facts:
    """What every file says about itself: settings and counts; nothing of the study but its window."""
    return {
        "program": "OmniV-Med",
        "version": __version__,
        "model": model,
        "threshold": mask.threshold,
        "threshold_meaning": mask.threshold_meaning,
        "reference": mask.reference,
        "window": None if mask.window is None else [float(v) for v in mask.window],
        "unit": mask.unit,
        "kept": mask.kept,
        "total": mask.total,
        "note": "Not for clinical use",
    }


def _write_png(path: Path, study: Study, mask: KeepMask, mode: Mode, facts: Facts) -> None:
    if len(mask.frame_index) == 1:
        picture = overlay(study.take(mask.frame_index)[0], mask, 0, mode=mode)
    else:
        picture = contact_sheet(study, mask, mode=mode)
    Image.fromarray(picture).save(path, format="PNG", pnginfo=_png_text(mask, facts))


def _png_text(mask: KeepMask, facts: Facts) -> object:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Software", f"OmniV-Med {__version__}")
    info.add_text("Description", legend(mask))
    info.add_text("OmniV-Med", json.dumps(facts))
    return info


def _write_json(path: Path, study: Study, mask: KeepMask, mode: Mode, facts: Facts) -> None:
    del study, mode
    path.write_text(
        json.dumps({"version": __version__, "model": facts["model"], **mask.to_dict()}, indent=1) + "\n",
        encoding="utf-8",
    )


def _write_npz(path: Path, study: Study, mask: KeepMask, mode: Mode, facts: Facts) -> None:
    del study, mode
    told = {k: v for k, v in mask.to_dict().items() if k not in ("keep", "distance", "rects")}
    with path.open("wb") as file:
        np.savez_compressed(
            file,
            keep=mask.keep,
            distance=mask.distance,
            run_length=mask.run_length,
            rects=mask.rects,
            facts=np.array(json.dumps({"version": __version__, "model": facts["model"], **told})),
        )


_WRITERS: dict[str, Callable[[Path, Study, KeepMask, Mode, Facts], None]] = {
    ".png": _write_png,
    ".mp4": write_mp4,
    ".gif": write_gif,
    ".json": _write_json,
    ".npz": _write_npz,
}
FORMATS = tuple(_WRITERS)


def write_overlay(
    path: str | os.PathLike[str],
    study: Study,
    mask: KeepMask,
    *,
    mode: Mode = "kept",
    model: str | None = None,
) -> None:
    """Write the mask over its study; the suffix says how. Nothing of the file's header or name goes in.

    `model` is the name of the model that was given these tokens, when there was one.

    The file appears whole or not at all.

    Raises:
        ValueError: a suffix other than ``FORMATS``.
        OSError: the place cannot be written.
    """
    target = Path(path)
    writer = _WRITERS.get(target.suffix.lower())
    if writer is None:
        raise ValueError(
            f"cannot write {target.suffix or 'a file without suffix'}; use one of {', '.join(FORMATS)}"
        )
    handle, name = tempfile.mkstemp(suffix=target.suffix, dir=target.parent or Path("."))
    os.close(handle)
    try:
        writer(Path(name), study, mask, mode, facts_of(mask, model))
        Path(name).replace(target)
    finally:
        Path(name).unlink(missing_ok=True)
