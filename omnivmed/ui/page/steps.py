"""The five steps of the teaching page as HTML: what a study, a mask and a place in it look like at each."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from omnivmed.ui import texts
from omnivmed.ui.page import figures
from omnivmed.ui.page.charts import summary
from omnivmed.ui.visit.lesson import View

if TYPE_CHECKING:
    from omnivmed.pruning import KeepMask


def taken_line(view: View) -> str:
    """Which frames are taken, below the line about the study."""
    return f'<p class="ov-taken">{escape(view.taken)}</p>'


def alone_figure(view: View, mask: KeepMask) -> str:
    """Of a picture that has no neighbour."""
    first = figures.grid_figure(view.frames[0], mask, 0, texts.TEACH_TOKENS.format(total=mask.total))
    words = f'<div class="ov-teach"><p>{escape(texts.TEACH_ALONE)}</p></div>'
    return f'<div class="ov-figure">{first}</div>{words}'


def step_figures(view: View, mask: KeepMask, k: int, kind: str) -> list[str]:
    """HTML of the five steps at frame k (1 or later)."""
    what = texts.TEACH_SLICE if kind == "volume" else texts.TEACH_FRAME_AT
    here, before = view.frames[k], view.frames[k - 1]
    name, name_before = f"{what} {view.name(k)}", f"{what} {view.name(k - 1)}"
    pair = figures.grid_figure(before, mask, k - 1, name_before) + figures.grid_figure(here, mask, k, name)
    distances = texts.TEACH_DISTANCES.format(what=name)
    moved = figures.grid_figure(figures.change_picture(before, here), mask, k, texts.TEACH_CHANGE)
    moved += figures.grid_figure(here, mask, k, distances, numbers=True)
    words = escape(texts.TEACH_MEANS.format(meaning=mask.threshold_meaning))
    meaning = f'<div class="ov-teach"><p>{words}</p><p>{escape(summary(mask))}</p></div>'
    kept_here = texts.TEACH_KEPT.format(kept=int(mask.kept_per_frame[k]), total=mask.keep[k].size)
    chosen = figures.grid_figure(here, mask, k, kept_here, colours=True)
    chosen += figures.grid_figure(figures.kept_picture(here, mask, k), mask, k, texts.TEACH_GIVEN)
    strip = figures.strip_figure(view.frames, mask, [view.name(i) for i in range(len(view.frames))])
    count = escape(texts.TEACH_COUNT.format(kept=mask.kept, total=mask.total))
    share = escape(texts.TEACH_LEFT.format(share=100 * mask.kept_ratio, budget=mask.budget))
    kept = f'<div class="ov-teach"><p><span class="ov-big">{count}</span> {share}</p></div>'
    saves = f'<div class="ov-teach"><p>{escape(texts.PRUNING_SAVES)}</p></div>'
    return [
        f'<div class="ov-figure">{pair}</div>',
        f'<div class="ov-figure">{moved}</div>',
        meaning,
        f'<div class="ov-figure">{chosen}</div>{strip}',
        kept + figures.cost_figure(mask) + saves,
    ]
