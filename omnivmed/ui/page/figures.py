"""Drawings of the teaching page: pure functions of a study's patches and mask, out comes HTML with SVG."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from omnivmed.ui import texts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from omnivmed.pruning import KeepMask

EDGE = 420  # longest edge of a drawn frame, units of the figure
SHARP = 2  # pixels of the picture for each of them: figures stay sharp on a projector and when enlarged
SMALL = 84 * SHARP
KEPT = "#f0a92e"  # the viewer's colours for kept and pruned, safe for colour-blind eyes
PRUNED = "#3f62c9"


def picture_uri(frame: NDArray[np.uint8], edge: int = EDGE, quality: int = 82) -> tuple[str, int, int]:
    """A frame as a data address, with the width and height it was drawn at."""
    import cv2

    height, width = frame.shape[:2]
    ratio = edge / max(height, width)
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    way = cv2.INTER_AREA if ratio < 1 else cv2.INTER_CUBIC
    small = cv2.resize(frame, size, interpolation=way)
    done, data = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise RuntimeError(f"could not encode a {size} picture")
    return "data:image/jpeg;base64," + base64.b64encode(bytes(data)).decode(), size[0], size[1]


def grid_figure(
    frame: NDArray[np.uint8],
    mask: KeepMask,
    k: int,
    caption: str,
    *,
    numbers: bool = False,
    colours: bool = False,
) -> str:
    """Frame k of the sample with its token grid; `numbers` writes each distance, `colours` shows kept and pruned."""
    uri, width, height = picture_uri(frame, SHARP * EDGE)
    width, height = round(width / SHARP), round(height / SHARP)
    rows, columns = mask.keep.shape[1:]
    cw, ch = width / columns, height / rows
    parts = [
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(caption)}">',
        f'<image href="{uri}" width="{width}" height="{height}"/>',
    ]
    size = max(8.0, min(15.0, cw / 3.2))
    for r in range(rows):
        for c in range(columns):
            x, y = c * cw, r * ch
            if colours and not mask.keep[k, r, c]:
                parts.append(
                    f'<rect x="{x:.1f}" y="{y:.1f}" width="{cw:.1f}" height="{ch:.1f}" fill="{PRUNED}" '
                    'fill-opacity=".62"/>'
                )
            distance = float(mask.distance[k, r, c])
            if numbers and np.isfinite(distance):
                parts.append(
                    f'<text x="{x + cw / 2:.1f}" y="{y + ch / 2 + size / 3:.1f}" font-size="{size:.1f}" '
                    'text-anchor="middle" fill="#fff" stroke="#000" stroke-width="2.5" paint-order="stroke">'
                    f"{distance:.2f}</text>"
                )
    lines = [f"M0 {r * ch:.1f}H{width}" for r in range(1, rows)]
    lines += [f"M{c * cw:.1f} 0V{height}" for c in range(1, columns)]
    parts.append(
        f'<path d="{"".join(lines)}" stroke="#fff" stroke-opacity=".45" stroke-width="1" fill="none"/>'
    )
    if colours:
        for r in range(rows):
            for c in range(columns):
                if mask.keep[k, r, c]:
                    parts.append(
                        f'<rect x="{c * cw + 1.5:.1f}" y="{r * ch + 1.5:.1f}" width="{cw - 3:.1f}" '
                        f'height="{ch - 3:.1f}" fill="none" stroke="{KEPT}" stroke-width="2"/>'
                    )
    parts.append("</svg>")
    return f"<figure>{''.join(parts)}<figcaption>{escape(caption)}</figcaption></figure>"


def change_picture(before: NDArray[np.uint8], here: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Absolute difference of two RGB frames, twice as bright, so that small changes can be seen."""
    difference = np.abs(here.astype(np.int16) - before.astype(np.int16))
    return np.asarray(np.minimum(2 * difference, 255), dtype=np.uint8)


def kept_picture(frame: NDArray[np.uint8], mask: KeepMask, k: int) -> NDArray[np.uint8]:
    """Frame k of the sample with its pruned tokens black."""
    import cv2

    light = cv2.resize(mask.keep[k].astype(np.uint8), frame.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return np.where(light[..., None] > 0, frame, np.uint8(0))


def strip_figure(frames: NDArray[np.uint8], mask: KeepMask, names: list[str]) -> str:
    """Every sampled frame, small, its pruned tokens dark, with the number kept."""
    import cv2

    cells = []
    per_frame = mask.keep.shape[1] * mask.keep.shape[2]
    for k, frame in enumerate(frames):
        height, width = frame.shape[:2]
        light = cv2.resize(
            np.where(mask.keep[k], 1.0, 0.15).astype(np.float32),
            (width, height),
            interpolation=cv2.INTER_NEAREST,
        )
        shown = (frame * light[..., None]).astype(np.uint8)
        uri, _, _ = picture_uri(shown, SMALL, 70)
        kept = int(mask.kept_per_frame[k])
        cells.append(
            f'<a><img alt="" src="{uri}"><i style="width:{100 * kept / per_frame:.0f}%"></i>'
            f"<span><b>{escape(names[k])}</b>{kept}</span></a>"
        )
    return f'<div class="ov-frames" style="max-height:none">{"".join(cells)}</div>'


def lettered_figure(
    frame: NDArray[np.uint8], rects: NDArray[np.float32], marks: Sequence[tuple[int, int]], caption: str
) -> str:
    """A frame with a box and a letter, from A on, on each of some tokens (row, column)."""
    uri, width, height = picture_uri(frame, SHARP * EDGE)
    width, height = round(width / SHARP), round(height / SHARP)
    sx, sy = width / frame.shape[1], height / frame.shape[0]
    parts = [
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(caption)}">',
        f'<image href="{uri}" width="{width}" height="{height}"/>',
    ]
    for number, (row, column) in enumerate(marks):
        x0, y0, x1, y1 = (float(v) for v in rects[row, column] * (sx, sy, sx, sy))
        parts.append(
            f'<rect x="{x0:.1f}" y="{y0:.1f}" width="{x1 - x0:.1f}" height="{y1 - y0:.1f}" fill="none" '
            f'stroke="{KEPT}" stroke-width="2"/><text x="{x0 + 5:.1f}" y="{y0 + 18:.1f}" fill="{KEPT}" '
            f'font-size="17" font-weight="700">{chr(ord("A") + number)}</text>'
        )
    return f"<figure>{''.join(parts)}</svg><figcaption>{escape(caption)}</figcaption></figure>"


def said_figure(label: str, text: str, facts: str, whole: str | None) -> str:
    """What the model said at a step, words that `whole` (the answer to every token) does not have marked."""
    if whole is None:
        body, same = escape(text), ""
    else:
        body = marked(whole, text)
        same = texts.TEACH_SAID_SAME if text == whole else texts.TEACH_SAID_OTHER
    line = " · ".join(part for part in (facts, same) if part)
    return (
        f'<div class="ov-said"><small>{escape(label)}</small><p>{body}</p><small>{escape(line)}</small></div>'
    )


def marked(before: str, text: str) -> str:
    """`text` as HTML, with the words in <mark> that are not in `before` at that place."""
    from difflib import SequenceMatcher

    old, new = before.split(), text.split()
    out = []
    for kind, _, _, i, j in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        words = escape(" ".join(new[i:j]))
        if words:
            out.append(words if kind == "equal" else f"<mark>{words}</mark>")
    return " ".join(out)


# Qwen2.5 as published: layers, key-value heads, head size; keys and values at 2 bytes each.
CACHE_BYTES = {"Qwen2.5-1.5B": 28 * 2 * 2 * 128 * 2, "Qwen2.5-7B": 28 * 2 * 4 * 128 * 2}


def cost_figure(mask: KeepMask) -> str:
    """What the kept tokens cost a language model, against all of them."""
    share = mask.kept_ratio
    words = texts.TEACH_COST
    rows = [(words["prompt"], f"{mask.total:,}", f"{mask.kept:,}", f"{100 * share:.0f} %")]
    for name, per_token in CACHE_BYTES.items():
        rows.append(
            (
                words["cache"].format(model=name),
                f"{mask.total * per_token / 2**20:.1f} MB",
                f"{mask.kept * per_token / 2**20:.1f} MB",
                f"{100 * share:.0f} %",
            )
        )
    rows.append((words["attention"], f"{mask.total**2:,}", f"{mask.kept**2:,}", f"{100 * share**2:.0f} %"))
    rows.append((words["encoder"], str(len(mask.keep)), str(len(mask.keep)), "100 %"))
    body = "".join(
        f'<tr><td>{escape(a)}</td><td class="n">{b}</td><td class="n">{c}</td><td class="n">{d}</td></tr>'
        for a, b, c, d in rows
    )
    first, *rest = (escape(name) for name in texts.TEACH_COST_HEAD)
    head = f"<th>{first}</th>" + "".join(f'<th class="n">{name}</th>' for name in rest)
    return f'<div class="ov-scroll"><table class="ov-table"><tr>{head}</tr>{body}</table></div>'
