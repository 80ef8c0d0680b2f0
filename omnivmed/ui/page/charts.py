"""Charts to be studied: how far tokens moved, what each slice keeps, what another threshold would keep.

All of them are drawn from a `KeepMask`, the run's own or a planned one. Plotly is imported at the first chart, not
with the page; its script comes with Gradio, from this server, when the first chart is looked at. The histogram and the
strip inside the viewer are the canvas's own, for they move with the threshold while it is dragged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from omnivmed.ui import texts
from omnivmed.ui.page.figures import KEPT, PRUNED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from omnivmed.pruning import KeepMask

BINS = 60
TOP = 0.6  # distance at which the axis ends at least; nearly all medical tokens move less
STEPS = 61  # thresholds of the curve
ROW = 210  # height of one chart, pixels
# Both read on the page's light and its dark ground; the words take the page's own colour (app.css).
GRID = "rgba(128,128,128,.28)"
LINE = "#8a93a0"
AXIS = {"gridcolor": GRID, "zeroline": False, "linecolor": LINE, "fixedrange": True}
SHARE = {"range": [0, 104], "ticksuffix": " %"}


def charts(mask: KeepMask, curve: tuple[NDArray[Any], NDArray[Any]] | None = None) -> Any:
    """One plotly figure with two or three charts, None for a picture that stands alone (nothing can be pruned).

    curve: (thresholds, shares kept) where the mask alone cannot tell them; `kept_over_threshold(mask)` else.
    """
    if len(mask.keep) < 2:
        return None
    import plotly.graph_objects as go

    curve = kept_over_threshold(mask) if curve is None else curve
    rows = [_distances(mask), _frames(mask), *([_curve(mask, *curve)] if curve is not None else [])]
    gap = 0.36 / len(rows)
    tall = (1 - gap * (len(rows) - 1)) / len(rows)
    layout: dict[str, Any] = {"annotations": [], "shapes": []}
    traces: list[dict[str, Any]] = []
    # One dict, checked once: drawing row by row would check the whole figure anew for every axis.
    for k, row in enumerate(rows):
        n = "" if k == 0 else str(k + 1)
        x, y = "x" + n, "y" + n
        top = 1 - k * (tall + gap)
        layout["xaxis" + n] = {**AXIS, "ticks": "outside", "tickcolor": LINE, "anchor": y, **row["x"]}
        layout["yaxis" + n] = {
            **AXIS,
            "rangemode": "tozero",
            "anchor": x,
            "domain": [max(0.0, top - tall), top],
            **row["y"],
        }
        title = {
            "text": row["title"],
            "x": 0,
            "y": top,
            "xref": "paper",
            "yref": "paper",
            "yanchor": "bottom",
        }
        layout["annotations"].append({**title, "yshift": 4, "font": {"size": 13}, "showarrow": False})
        for note in row.get("notes", ()):
            layout["annotations"].append({**note, "xref": x, "yref": y + " domain", "showarrow": False})
        for shape in row.get("shapes", ()):
            layout["shapes"].append({**shape, "xref": x, "yref": y + " domain"})
        traces += [{**trace, "xaxis": x, "yaxis": y} for trace in row["traces"]]
    layout |= {
        "template": "none",
        "height": ROW * len(rows) + 40,
        "margin": {"l": 48, "r": 16, "t": 34, "b": 44},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"size": 12, "color": LINE},
        "showlegend": False,
        "bargap": 0.08,
        "dragmode": False,
    }
    return go.Figure({"data": traces, "layout": layout})


def summary(mask: KeepMask) -> str:
    """The charts in one sentence, for those who do not see them."""
    later = mask.distance[np.isfinite(mask.distance)]
    share = mask.kept_per_frame / mask.keep[0].size
    return texts.CHART_SUMMARY.format(
        tokens=later.size,
        median=float(np.median(later)) if later.size else 0.0,
        above=100 * float((later > mask.threshold).mean()) if later.size else 0.0,
        threshold=mask.threshold,
        least=100 * float(share[1:].min()) if len(share) > 1 else 100.0,
        most=100 * float(share[1:].max()) if len(share) > 1 else 100.0,
    )


def distance_histogram(mask: KeepMask) -> tuple[NDArray[Any], NDArray[Any]]:
    """(counts, edges) of all distances but the first frame's, which has none; those beyond the axis count as its end.

    The axis is that of the mask: pixels in [-1, 1], 255 times that with ``scale="x255"``.
    """
    values = mask.distance[np.isfinite(mask.distance)]
    top = max(TOP * (255 if mask.scale == "x255" else 1), 1.25 * mask.threshold)
    return np.histogram(np.clip(values, 0, top), bins=BINS, range=(0, top))


def kept_over_threshold(mask: KeepMask) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """(thresholds, share kept 0..1), the rule itself on the mask's distances; None for "last kept".

    With that reference every distance depends on what was kept before, so another threshold has other distances.
    """
    if mask.reference == "last_kept":
        return None
    t, h, w = mask.keep.shape
    distance = mask.distance.reshape(t, h * w)
    top = float(distance_histogram(mask)[1][-1])
    thresholds = np.linspace(0, top, STEPS)
    shares = np.empty(STEPS)
    for k, threshold in enumerate(thresholds):
        keep = distance > np.float32(threshold)  # +inf in the first frame: whole
        keep[keep.sum(axis=1) < mask.min_tokens, : mask.min_tokens] = True
        shares[k] = keep.mean()
    return thresholds, shares


def places(mask: KeepMask) -> Sequence[float]:
    """Where each sampled frame stands: its second, else its number counted from 1."""
    return (
        [float(s) for s in mask.times_s]
        if mask.times_s is not None
        else [int(i) + 1 for i in mask.frame_index]
    )


def words_below(text: str) -> dict[str, Any]:
    """An axis' name, close to its numbers: the next chart's title stands right below."""
    return {"text": text, "standoff": 2, "font": {"size": 12}}


def _distances(mask: KeepMask) -> dict[str, Any]:
    counts, edges = distance_histogram(mask)
    top, threshold = float(edges[-1]), mask.threshold
    # Most tokens hardly move: the root keeps the few that do in sight. Ticks and hover say the true counts.
    bars = {
        "type": "bar",
        "x": ((edges[:-1] + edges[1:]) / 2).tolist(),
        "y": np.sqrt(counts).tolist(),
        "width": np.diff(edges).tolist(),
        "marker": {"color": [KEPT if edge >= threshold - 1e-9 else PRUNED for edge in edges[:-1]]},
        "customdata": counts.tolist(),  # plain numbers: a hover text reads no packed ones
        "hovertemplate": texts.CHART_HOVER_COUNT,
    }
    ticks = _round_counts(int(counts.max()))
    left = threshold < 0.7 * top
    words = texts.TEACH_THRESHOLD.format(value=threshold)
    return {
        "title": texts.CHART_DISTANCES,
        "traces": [bars],
        "x": {"title": words_below(texts.CHART_DISTANCE), "range": [0, top]},
        "y": {
            "tickvals": np.sqrt(ticks).tolist(),
            "ticktext": [f"{n:,}" for n in ticks],
        },
        "notes": [
            {
                "x": threshold,
                "y": 1,
                "text": words,
                "xanchor": "left" if left else "right",
                "xshift": 5 if left else -5,
                "yanchor": "top",
            }
        ],
        "shapes": [
            {
                "type": "line",
                "x0": threshold,
                "x1": threshold,
                "y0": 0,
                "y1": 1,
                "line": {"color": LINE, "dash": "dot", "width": 2},
            }
        ],
    }


def _frames(mask: KeepMask) -> dict[str, Any]:
    bars = {
        "type": "bar",
        "x": places(mask),
        "y": (100 * mask.kept_per_frame / mask.keep[0].size).tolist(),
        "marker": {"color": KEPT},
        "customdata": mask.kept_per_frame.tolist(),
        "hovertemplate": texts.CHART_HOVER_FRAME,
    }
    where = texts.CHART_SLICE if mask.times_s is None else texts.CHART_TIME
    return {"title": texts.CHART_FRAMES, "traces": [bars], "x": {"title": words_below(where)}, "y": SHARE}


def _curve(mask: KeepMask, thresholds: NDArray[Any], shares: NDArray[Any]) -> dict[str, Any]:
    line = {
        "type": "scatter",
        "x": thresholds.tolist(),
        "y": (100 * shares).tolist(),
        "mode": "lines",
        "line": {"color": KEPT, "width": 2.5},
        "hovertemplate": texts.CHART_HOVER_CURVE,
    }
    here = {
        "type": "scatter",
        "x": [mask.threshold],
        "y": [100 * mask.kept_ratio],
        "mode": "markers",
        "marker": {"color": PRUNED, "size": 11, "line": {"color": "#fff", "width": 1.5}},
        "hovertemplate": texts.CHART_HOVER_CURVE,
    }
    return {
        "title": texts.CHART_CURVE,
        "traces": [line, here],
        "x": {"title": words_below(texts.THRESHOLD), "range": [0, float(thresholds[-1])]},
        "y": SHARE,
    }


def _round_counts(most: int) -> list[int]:
    """Zero, the powers of ten below `most`, and `most` itself: ticks that stand well apart under a root."""
    tens = [10**k for k in range(7) if 10**k * 4 < most and 10**k * 40 >= most]
    return [0, *tens, most] if most else [0, 1]
