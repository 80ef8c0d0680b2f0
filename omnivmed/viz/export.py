"""Write an overlay where the person asked for it: .png, .mp4, .json or .npz."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from omnivmed import __version__
from omnivmed.pruning import KeepMask
from omnivmed.study import Study
from omnivmed.viz.overlay import Mode, legend, overlay
from omnivmed.viz.sheet import contact_sheet

FRAMES_PER_SECOND = 4
"""Of an exported clip: slow enough to see which tokens change."""


def _write_png(path: Path, study: Study, mask: KeepMask, mode: Mode) -> None:
    if len(mask.frame_index) == 1:
        picture = overlay(study.take(mask.frame_index)[0], mask, 0, mode=mode)
    else:
        picture = contact_sheet(study, mask, mode=mode)
    Image.fromarray(picture).save(path, format="PNG", pnginfo=_png_text(mask))


def _png_text(mask: KeepMask) -> object:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Software", f"OmniV-Med {__version__}")
    info.add_text("Description", legend(mask))
    return info


def _write_mp4(path: Path, study: Study, mask: KeepMask, mode: Mode) -> None:
    import av

    # H.264 wants even sides; nothing larger than 720 rows is useful for looking at tokens.
    scale = min(1.0, 720 / mask.source_size[0], 1280 / mask.source_size[1])
    height, width = (max(2, round(side * scale) // 2 * 2) for side in mask.source_size)
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as box:
        stream = box.add_stream("libx264", rate=Fraction(FRAMES_PER_SECOND), options={"crf": "20"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for i, source in enumerate(mask.frame_index):
            picture = overlay(study.take([int(source)])[0], mask, i, mode=mode)
            small = Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC)
            box.mux(stream.encode(av.VideoFrame.from_image(small)))
        box.mux(stream.encode(None))


def _write_json(path: Path, study: Study, mask: KeepMask, mode: Mode) -> None:
    del study, mode
    path.write_text(json.dumps({"version": __version__, **mask.to_dict()}, indent=1) + "\n", encoding="utf-8")


def _write_npz(path: Path, study: Study, mask: KeepMask, mode: Mode) -> None:
    del study, mode
    facts = {k: v for k, v in mask.to_dict().items() if k not in ("keep", "distance", "rects")}
    with path.open("wb") as file:
        np.savez_compressed(
            file,
            keep=mask.keep,
            distance=mask.distance,
            run_length=mask.run_length,
            rects=mask.rects,
            facts=np.array(json.dumps({"version": __version__, **facts})),
        )


_WRITERS: dict[str, Callable[[Path, Study, KeepMask, Mode], None]] = {
    ".png": _write_png,
    ".mp4": _write_mp4,
    ".json": _write_json,
    ".npz": _write_npz,
}
FORMATS = tuple(_WRITERS)


def write_overlay(path: str | os.PathLike[str], study: Study, mask: KeepMask, *, mode: Mode = "kept") -> None:
    """Write the mask over its study; the suffix says how. Nothing of the file's header or name goes in.

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
        writer(Path(name), study, mask, mode)
        Path(name).replace(target)
    finally:
        Path(name).unlink(missing_ok=True)
