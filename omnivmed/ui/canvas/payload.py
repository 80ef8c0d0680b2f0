"""Binary payloads: how a study and its mask travel to the browser, once, by URL.

A payload is a container (`container.py`). Voxels are stored from the middle slice outwards (``order``): a browser
that reads the stream can show the first slice long before the last byte has come. Nothing of the uploaded file
itself is in a payload: only numbers and pictures this program decoded, and no text from any header.

What a header says beyond the container's own names is declared in ``static/types.d.ts``; a test holds it to that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from omnivmed.progress import Progress
from omnivmed.ui.canvas.container import Layout, PayloadInfo, write
from omnivmed.ui.canvas.pictures import encode, small_picture
from omnivmed.ui.canvas.planes import even, ladder, plane_specs

if TYPE_CHECKING:
    from omnivmed.pruning import KeepMask
    from omnivmed.study import Study
    from omnivmed.vision import Patches

DISPLAY_BYTES = 64 * 2**20  # raw bytes of the voxels or pictures a browser is given at most
COMPRESS_BYTES = (
    16 * 2**20
)  # larger voxel payloads are stored: the wait for gzip would be longer than for the wire
PICTURE_EDGE = 4096  # longest edge of a colour still, pixels
CLIP_EDGE = 1280  # longest edge of a clip's frames, pixels
CLIP_PIXELS = 40 * 2**20  # clips of up to this many pixels travel whole; longer ones as their sampled frames
LOSSLESS_PIXELS = 4 * 2**20  # stills and clips of up to this many pixels travel as PNG, larger ones as JPEG
CHUNK_SLICES = 16


def display_order(n: int) -> list[int]:
    """Slice indices from the middle outwards: the order in which they are sent."""
    middle = n // 2
    return sorted(range(n), key=lambda i: (abs(i - middle), i < middle))


def _floats(values: Sequence[float | None] | None) -> list[float | None] | None:
    return None if values is None else [None if v is None else float(v) for v in values]


def _common_header(study: Study) -> dict[str, Any]:
    """Technical facts the viewer shows. Only fields of `Study`, none of them free text from a file."""
    return {
        "format": "study",
        "content_id": study.content_id,
        "kind": study.kind,
        "source_shape": [int(n) for n in study.shape],
        "spacing_mm": _floats(study.spacing_mm),
        "labels": [[label.number, label.name, list(label.colour)] for label in study.labels],
        "background": study.background,
        "spacing_at": study.spacing_at,
        "window": _floats(study.window),
        "presets": [[str(n), float(level), float(width)] for n, level, width in study.presets],
        "inverted": bool(study.inverted),
        "unit": study.unit,
        "modality": study.modality,
        "body_part": study.body_part,
        "plane": study.plane,
        "warnings": list(study.warnings),
        "notes": list(study.notes),
        "affine": np.asarray(study.affine, float).tolist() if study.affine is not None else None,
        "planes": plane_specs(study),
        "aspect": float(study.pixel_aspect),
        "slice_index": None if even(study) else [float(i) for i in study.slice_index],
        "ladder": None if even(study) else ladder(study),
    }


def pack_study(
    study: Study,
    mask: KeepMask | None,
    path: str | Path,
    *,
    max_bytes: int = DISPLAY_BYTES,
    frame_index: Sequence[int] | None = None,
    compress: bool | None = None,
    progress: Progress | None = None,
) -> PayloadInfo:
    """Write the display copy of `study` (and of `mask`, when given) to `path`.

    Grey stills, volumes and short grey cines travel as their stored integers with slope and intercept, so
    that windowing and the read-out under the pointer happen in the browser; colour travels as pictures.
    What does not fit `max_bytes` is averaged down within the slice; the header's ``scale`` says by how
    much (1 = every pixel). Compressing costs four times the time of everything else here, so by default
    only voxels of up to `COMPRESS_BYTES` are; True suits a slow line, False the same machine.
    Long clips travel as the frames named by `frame_index`, the mask's by default.
    """
    path = Path(path)
    header = _common_header(study)
    layout = Layout()
    small: list[NDArray[Any]] = []
    preview = small_picture(study, mask)
    if preview is not None:
        index, data = preview
        header["preview"] = {"index": index, "type": "image/jpeg"}
        layout.add("preview", data.dtype, data.shape)
        small.append(data)
    if study.times_s is not None:
        times = np.asarray(study.times_s, "<f8")
        layout.add("times_s", times.dtype, times.shape)
        small.append(times)
    if mask is not None:
        header["mask"] = mask_header(mask)
        small += _add_mask(layout, mask)
    if _is_voxels(study, max_bytes):
        return _pack_voxels(study, path, header, layout, small, max_bytes, compress, progress)
    return _pack_pictures(study, mask, path, header, layout, small, max_bytes, frame_index, progress)


def _is_voxels(study: Study, max_bytes: int) -> bool:
    if study.channels != 1:
        return False
    size = min(study.dtype.itemsize, 2) * int(np.prod(study.shape, dtype=np.int64))
    return study.kind != "video" or size <= max_bytes


def _shrink_factor(shape: Sequence[int], item: int, max_bytes: int) -> int:
    """Smallest whole factor by which rows and columns must be averaged to fit `max_bytes`."""
    slices, rows, cols = shape
    factor = 1
    while slices * -(-rows // factor) * -(-cols // factor) * item > max_bytes and factor < max(rows, cols):
        factor += 1
    return factor


def _shrink(values: NDArray[Any], factor: int) -> NDArray[Any]:
    """Average (t, H, W) over factor x factor blocks; the ragged edge is averaged over what there is."""
    if factor == 1:
        return values
    t, h, w = values.shape
    padded = np.pad(values, ((0, 0), (0, -h % factor), (0, -w % factor)), mode="edge")
    mean = np.zeros((t, -(-h // factor), -(-w // factor)), np.float32)
    for row in range(factor):
        for col in range(factor):
            mean += padded[:, row::factor, col::factor]
    mean /= factor * factor
    return np.rint(mean).astype(values.dtype) if values.dtype.kind in "iu" else mean


def _pack_voxels(
    study: Study,
    path: Path,
    header: dict[str, Any],
    layout: Layout,
    small: list[NDArray[Any]],
    max_bytes: int,
    compress: bool | None,
    progress: Progress | None,
) -> PayloadInfo:
    slices, rows, cols = (int(n) for n in study.shape)
    probe, slope, intercept = study.stored(slices // 2, slices // 2 + 1)
    wide = probe.dtype.kind not in "iu" or probe.dtype.itemsize > 2
    whole = True
    if wide:
        dtype, low, step, whole = _quantisation(study)
        slope, intercept = slope * step, slope * low + intercept
    else:
        dtype, low, step = np.dtype(probe.dtype.name), 0.0, 1.0
    factor = _shrink_factor((slices, rows, cols), dtype.itemsize, max_bytes)
    shape = [slices, -(-rows // factor), -(-cols // factor)]
    order = display_order(slices)
    header |= {
        "display": "voxels",
        "shape": shape,
        "scale": factor,
        "order": order,
        "slope": float(slope),
        "intercept": float(intercept),
        "exact": bool(factor == 1 and whole),
    }
    layout.add("voxels", dtype, shape)

    def parts() -> Iterator[bytes]:
        yield from _bytes_of(small)
        done = 0
        for first, last, picks in _runs(order):
            stored, _, _ = study.stored(first, last)
            if wide:
                stored = np.nan_to_num((stored.astype(np.float64) - low) / step, nan=0.0)
                stored = np.rint(np.clip(stored, 0, 65535)).astype(dtype)
            small_one = (
                stored[picks][:, ::factor, ::factor]  # a mean of labels would be another label
                if study.is_label_map
                else _shrink(stored[picks], factor)
            )
            yield np.ascontiguousarray(small_one.astype(dtype, copy=False)).tobytes()
            done += len(picks)
            if progress is not None:
                progress("preparing the picture", done, slices)

    if compress is None:
        compress = layout.end <= COMPRESS_BYTES
    return write(path, header, layout, parts(), level=1 if compress else 0)


def _runs(order: Sequence[int]) -> Iterator[tuple[int, int, list[int]]]:
    """Group the sending order into reads of neighbouring slices: (first, last, positions inside)."""
    for at in range(0, len(order), CHUNK_SLICES):
        group = list(order[at : at + CHUNK_SLICES])
        low, high = min(group), max(group)
        if high - low < 2 * CHUNK_SLICES:
            yield low, high + 1, [i - low for i in group]
        else:  # two far-apart halves: reading everything between them would waste memory
            for i in group:
                yield i, i + 1, [0]


def _quantisation(study: Study) -> tuple[np.dtype[Any], float, float, bool]:
    """uint16 scale for wide stored types: (dtype, lowest, step, exact).

    Whole numbers that span no more than 65,535 (most 32-bit and float CT and MR) lose nothing: step 1. NaN and
    infinity are sent as the nearest end.
    """
    low, high, whole = np.inf, -np.inf, True
    for i in range(0, study.shape[0], CHUNK_SLICES):
        stored, _, _ = study.stored(i, min(i + CHUNK_SLICES, study.shape[0]))
        finite = stored[np.isfinite(stored)] if stored.dtype.kind == "f" else stored
        whole = whole and finite.size == stored.size
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
            whole = whole and bool(stored.dtype.kind in "iu" or (finite == np.rint(finite)).all())
    if not np.isfinite(low):
        low, high = 0.0, 1.0
    if whole and high - low <= 65535:
        return np.dtype("uint16"), low, 1.0, True
    return np.dtype("uint16"), low, max((high - low) / 65535, 1e-30), False


def _pack_pictures(
    study: Study,
    mask: KeepMask | None,
    path: Path,
    header: dict[str, Any],
    layout: Layout,
    small: list[NDArray[Any]],
    max_bytes: int,
    frame_index: Sequence[int] | None,
    progress: Progress | None,
) -> PayloadInfo:
    frames, rows, cols = (int(n) for n in study.shape)
    if frame_index is None and mask is not None:
        frame_index = [int(i) for i in mask.frame_index]
    edge = PICTURE_EDGE if study.kind == "image" else CLIP_EDGE
    ratio = min(1.0, edge / max(rows, cols))
    size = (max(1, round(cols * ratio)), max(1, round(rows * ratio)))
    whole = frames == 1 or frames * size[0] * size[1] <= CLIP_PIXELS
    if frame_index is None:  # a long clip without a mask: enough to see something at every stretch of it
        frame_index = np.unique(np.linspace(0, frames - 1, 32).astype(int)).tolist()
    index = list(range(frames)) if whole else [int(i) for i in frame_index]
    lossless = size[0] * size[1] * len(index) <= LOSSLESS_PIXELS
    kind = "png" if lossless else "jpeg"
    pictures: list[bytes] = []
    total = 0
    for at in range(0, len(index), CHUNK_SLICES):
        for frame in study.take(index[at : at + CHUNK_SLICES]):
            pictures.append(encode(frame, size, kind))
            total += len(pictures[-1])
        if progress is not None:
            progress("preparing the picture", len(pictures), len(index))
        if total > max_bytes:
            index = index[: len(pictures)]  # the rest is seen through the transcoded clip
            break
    ends = np.cumsum([len(p) for p in pictures])
    header |= {
        "display": "pictures",
        "shape": [frames, size[1], size[0]],
        "scale": cols / size[0],
        "picture_index": index,
        "picture_ends": [int(e) for e in ends],
        "picture_type": f"image/{kind}",
        "exact": bool(lossless and ratio == 1.0),
    }
    layout.add("pictures", "uint8", [int(ends[-1]) if len(ends) else 0])

    def parts() -> Iterator[bytes]:
        yield from _bytes_of(small)
        yield b"".join(pictures)

    return write(path, header, layout, parts(), level=0)


# -------------------------------------------------------------------------------------------- mask


def mask_header(mask: KeepMask) -> dict[str, Any]:
    """The run's settings and counts, as the viewer shows them; the arrays travel beside."""
    return {
        "shape": [int(n) for n in mask.keep.shape],
        "threshold": float(mask.threshold),
        "reference": mask.reference,
        "min_tokens": int(mask.min_tokens),
        "budget": mask.budget,
        "rule": mask.rule or None,
        "span_s": None if mask.span_s is None else [round(float(s), 4) for s in mask.span_s],
        "scale": mask.scale,
        "window": _floats(mask.window),
        "unit": mask.unit,
        "source_size": [int(n) for n in mask.source_size],
        "kept": int(mask.kept),
        "total": int(mask.total),
        "threshold_meaning": mask.threshold_meaning,
        "all_at_floor": bool(mask.all_at_floor),
    }


def _add_mask(layout: Layout, mask: KeepMask) -> list[NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {
        "mask.distance": np.asarray(mask.distance, "<f4"),
        "mask.rects": np.asarray(mask.rects, "<f4"),
        "mask.run_length": np.asarray(mask.run_length, "<i4"),
        "mask.frame_index": np.asarray(mask.frame_index, "<i4"),
        "mask.keep": np.asarray(mask.keep, np.uint8),
    }
    for name, array in arrays.items():
        layout.add(name, array.dtype, array.shape)
    return list(arrays.values())


def pack_mask(mask: KeepMask, path: str | Path, *, content_id: str | None = None) -> PayloadInfo:
    """Write only the mask: replaces the overlay after an answer without sending the picture again.

    `content_id` is the study's; the viewer ignores a mask that belongs to another study.
    """
    layout = Layout()
    arrays = _add_mask(layout, mask)
    header = {"format": "mask", "content_id": content_id, "mask": mask_header(mask)}
    return write(Path(path), header, layout, _bytes_of(arrays), level=6)


def pack_pixels(patches: Patches, path: str | Path, *, content_id: str | None = None) -> PayloadInfo:
    """Write the model's own 8-bit pixels per token, for exact what-ifs with ``reference="last_kept"``.

    That rule compares with the patch last kept, which depends on the threshold, so the browser needs the
    pixels. Grey studies (equal channels) send one channel. Array "pixels": uint8 (t, h*w, D).
    """
    t, gh, gw = (int(n) for n in patches.grid_thw)
    m = int(patches.merge_size)
    tokens = t * (gh // m) * (gw // m)
    pixels = np.rint((np.asarray(patches.patches, np.float32) + 1.0) * 127.5).astype(np.uint8)
    pixels = pixels.reshape(tokens, m * m, 3, -1)
    grey = bool((pixels[:, :, 0] == pixels[:, :, 1]).all() and (pixels[:, :, 0] == pixels[:, :, 2]).all())
    if grey:
        pixels = pixels[:, :, :1]
    pixels = np.ascontiguousarray(pixels.reshape(t, tokens // t, -1))
    layout = Layout()
    layout.add("pixels", pixels.dtype, pixels.shape)
    header = {"format": "pixels", "content_id": content_id, "channels": 1 if grey else 3}
    return write(Path(path), header, layout, _bytes_of([pixels]), level=1)


def _bytes_of(arrays: Sequence[NDArray[Any]]) -> Iterator[bytes]:
    """Bytes of each array; the writer pads after each."""
    for array in arrays:
        if array.nbytes:
            yield array.tobytes()
