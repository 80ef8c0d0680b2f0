"""Charts say what the mask says: every bar counted again, every point of the curve by the rule itself."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from omnivmed.pruning import KeepMask, keep_mask
from omnivmed.ui import texts
from omnivmed.ui.page import charts
from omnivmed.ui.page.figures import KEPT, PRUNED
from omnivmed.ui.page.plots import shown_charts
from omnivmed.ui.upstream import plot_data
from omnivmed.vision import NANO_BUDGET, Patches, prepare
from tests import phantoms


@pytest.fixture(scope="module", params=["volume", "clip"])
def patches(request: pytest.FixtureRequest) -> Patches:
    study = phantoms.ct_study() if request.param == "volume" else phantoms.clip_study()
    return prepare(study, NANO_BUDGET)


@pytest.fixture(scope="module")
def mask(patches: Patches) -> KeepMask:
    return keep_mask(patches, 0.1)


def test_the_histogram_counts_every_token_once(mask: KeepMask) -> None:
    counts, edges = charts.distance_histogram(mask)
    assert counts.sum() == np.isfinite(mask.distance).sum() == mask.total - mask.keep[0].size
    assert edges[0] == 0
    bars = charts.charts(mask).data[0]
    assert np.allclose(np.square(bars.y), counts)
    assert np.array_equal(bars.customdata, counts)
    above = sum(n for n, colour in zip(counts, bars.marker.color, strict=True) if colour == KEPT)
    # 0.1 is an edge of the 60 bins of 0 … 0.6, so the colours part the bars exactly where the rule does.
    assert set(bars.marker.color) == {KEPT, PRUNED}
    assert above == int((mask.distance[1:] >= edges[np.searchsorted(edges, 0.1 - 1e-9)]).sum())


def test_what_lies_beyond_the_axis_counts_as_its_end(patches: Patches) -> None:
    wide = keep_mask(patches, 1.9)
    counts, edges = charts.distance_histogram(wide)
    assert edges[-1] == pytest.approx(1.25 * 1.9)
    assert counts.sum() == np.isfinite(wide.distance).sum()
    released = keep_mask(patches, 25.5, scale="x255")
    assert charts.distance_histogram(released)[1][-1] == 0.6 * 255


@pytest.mark.parametrize("min_tokens", [0, 1, 5])
def test_the_curve_is_the_rule_itself(patches: Patches, min_tokens: int) -> None:
    got = charts.kept_over_threshold(keep_mask(patches, 0.1, min_tokens=min_tokens))
    assert got is not None
    thresholds, shares = got
    for k in range(0, len(thresholds), 6):
        assert shares[k] == keep_mask(patches, float(thresholds[k]), min_tokens=min_tokens).kept_ratio
    assert np.all(np.diff(shares) <= 0)


def test_with_last_kept_a_mask_alone_gives_no_curve(patches: Patches) -> None:
    drifting = keep_mask(patches, 0.1, "last_kept")
    assert charts.kept_over_threshold(drifting) is None
    assert len(charts.charts(drifting).data) == 2
    thresholds = np.array([0.0, 0.1, 0.5])
    given = charts.charts(drifting, (thresholds, np.array([1.0, 0.5, 0.2])))
    assert list(given.data[2].y) == [100, 50, 20]


def test_frames_stand_at_their_place_with_their_share(mask: KeepMask) -> None:
    bars = charts.charts(mask).data[1]
    assert np.allclose(np.array(bars.y) * mask.keep[0].size / 100, mask.kept_per_frame)
    assert bars.y[0] == 100
    if mask.times_s is None:
        assert list(bars.x) == [i + 1 for i in mask.frame_index]
    else:
        assert np.allclose(bars.x, mask.times_s)


def test_the_point_on_the_curve_is_the_run(mask: KeepMask) -> None:
    _, _, line, point = charts.charts(mask).data
    assert (point.x[0], point.y[0]) == (mask.threshold, 100 * mask.kept_ratio)
    nearest = int(np.argmin(np.abs(np.array(line.x) - mask.threshold)))
    assert line.y[nearest] == pytest.approx(point.y[0])


def test_a_picture_alone_has_no_charts() -> None:
    from omnivmed.study import Study

    still = Study.from_array(phantoms.radiograph().astype(np.uint16))
    mask = keep_mask(prepare(still, NANO_BUDGET), 0.1)
    assert charts.charts(mask) is None
    update = shown_charts(mask)
    assert update.value is None
    assert not update.visible


def test_the_summary_says_the_same_numbers(mask: KeepMask) -> None:
    later = mask.distance[np.isfinite(mask.distance)]
    said = charts.summary(mask)
    assert f"{later.size:,} tokens" in said
    assert f"{100 * (later > 0.1).mean():.1f} %" in said


def test_no_word_of_plotly_goes_out(mask: KeepMask) -> None:
    """No logo, no template of colours that only fit one ground, no address."""
    value = plot_data(charts.charts(mask))
    told = json.loads(value.plot)
    assert value.type == "plotly"
    assert told["config"]["displaylogo"] is False
    assert told["layout"]["paper_bgcolor"] == told["layout"]["plot_bgcolor"] == "rgba(0,0,0,0)"
    assert "http" not in value.plot
    assert len(value.plot) < 40_000
    assert texts.CHART_CURVE in value.plot


def test_plotly_is_not_imported_with_the_page() -> None:
    code = (
        "import sys; import omnivmed.ui.app; print([m for m in sys.modules if m.split('.')[0] == 'plotly'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_a_mask_where_nothing_moved_can_be_drawn() -> None:
    frames = np.full((4, 56, 56), 90, np.uint8)
    from omnivmed.study import Study

    mask: Any = keep_mask(prepare(Study.from_array(frames, "volume"), NANO_BUDGET), 0.0)
    figure = charts.charts(mask)
    assert figure.data[0].customdata[0] == mask.total - mask.keep[0].size
    assert "0 and" not in charts.summary(mask)
