"""Charts as components: a place for them, and what fills or empties it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from omnivmed.ui import texts
from omnivmed.ui.page import charts
from omnivmed.ui.upstream import plot_data

if TYPE_CHECKING:
    from omnivmed.pruning import KeepMask


def chart_box(elem_id: str) -> gr.Plot:
    """Nothing, until `shown_charts` fills it; plotly's script is fetched from this server when it is first seen."""
    return gr.Plot(
        label=texts.CHARTS,
        show_label=False,
        container=False,
        visible=False,
        elem_id=elem_id,
        elem_classes=["ov-charts"],
    )


def no_charts() -> gr.Plot:
    """An update that takes the charts away."""
    return gr.Plot(value=None, visible=False)


def shown_charts(mask: KeepMask, curve: Any = None) -> gr.Plot:
    """An update with the charts of this mask; none for a picture alone. `curve`: see `charts.charts`."""
    figure = charts.charts(mask, curve)
    return no_charts() if figure is None else gr.Plot(value=plot_data(figure), visible=True)
