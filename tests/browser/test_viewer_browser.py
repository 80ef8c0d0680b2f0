"""The viewer in headless Chromium: the right pixels, the right tokens, and no request while one looks."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL.PngImagePlugin import PngImageFile

from omnivmed.pruning import keep_mask
from omnivmed.window import apply_window
from tests.browser import viewer_harness as harness
from tests.ui.canvas.test_payload import screen

pytestmark = pytest.mark.browser

# The first pane's picture before it is scaled to the page, as grey (rows, columns).
SOURCE = """k => { const p = document.querySelector('.omv').view.panes[k]; const c = p.source;
  const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
  return [c.height, c.width, Array.from({length: d.length / 4}, (_, i) => d[4 * i])]; }"""
DATA = "({...document.querySelector('.omv').dataset})"


@pytest.fixture(scope="module")
def url(browser: Any) -> Iterator[str]:
    with harness.running_app() as address:
        yield address


@pytest.fixture(scope="module")
def phantoms() -> dict[str, Any]:
    return harness.studies()


class Page:
    """A page with the viewer, its requests and its console errors."""

    def __init__(self, browser: Any, url: str, **kwargs: Any) -> None:
        self.page = browser.new_page(**({"viewport": {"width": 1100, "height": 1000}} | kwargs))
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))
        self.page.goto(url, timeout=120_000)
        self.page.wait_for_selector("#viewer .omv-dark", timeout=60_000)

    def open(self, name: str, ready: bool = True) -> Page:
        before = self.data().get("study", "")
        self.page.get_by_label(name, exact=True).check()
        if ready:
            self.page.wait_for_function(
                "b => { const d = document.querySelector('.omv').dataset;"
                " return d.loaded === 'true' && d.ready === 'true' && d.study !== b }",
                arg=before,
            )
            self.settle()
        return self

    def settle(self) -> None:
        """Wait until what was asked for is drawn."""
        self.page.evaluate("() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")

    def data(self) -> dict[str, str]:
        shown: dict[str, str] = self.page.evaluate(DATA)
        return shown

    def keys(self, *names: str) -> None:
        self.page.locator(".omv-canvas").first.focus()
        for name in names:
            self.page.keyboard.press(name)
        self.settle()

    def view(self, code: str, arg: Any = None) -> Any:
        """Run code with `v` the viewer."""
        out = self.page.evaluate(
            f"a => {{ const v = document.querySelector('.omv').view; return {code}; }}", arg
        )
        self.settle()
        return out

    def source(self, pane: int = 0) -> np.ndarray:
        rows, cols, values = self.page.evaluate(SOURCE, pane)
        return np.array(values, np.uint8).reshape(rows, cols)


@pytest.fixture
def page(browser: Any, url: str) -> Iterator[Page]:
    page = Page(browser, url)
    yield page
    errors, outside = page.errors, [r for r in page.requests if not r.startswith((url, "blob:", "data:"))]
    page.page.close()
    assert errors == []
    assert outside == []


def test_slices_are_exact_and_left_is_left(page: Page, phantoms: dict[str, Any]) -> None:
    page.open("oriented")
    values = harness.orientation_volume()
    assert page.data()["slice"] == "5"
    for keys, expected in [((), 5), (("ArrowDown",), 6), (("PageUp",), 0), (("End",), 9), (("ArrowUp",), 8)]:
        page.keys(*keys)
        assert page.data()["slice"] == str(expected)
        np.testing.assert_array_equal(page.source(), apply_window(values[expected], 100, 400))
    marks = page.page.locator(".omv-pane").first
    assert [marks.locator(f".omv-{k}").inner_text() for k in "lrtb"] == list("RLAP")


def test_three_planes_are_resliced_right(page: Page, phantoms: dict[str, Any]) -> None:
    page.open("oriented")
    page.keys("x")
    page.view("v.setAxis(1, 6) || v.setAxis(2, 5) || v.goto(8)")
    study = phantoms["oriented"][0]
    from omnivmed.ui.canvas.planes import plane_specs

    for k, spec in enumerate(plane_specs(study)):
        expected = screen(harness.orientation_volume(), spec, [8, 6, 5][spec["axis"]])
        np.testing.assert_array_equal(page.source(k), apply_window(expected, 100, 400))
        letters = [page.page.locator(".omv-pane").nth(k).locator(f".omv-{e}").inner_text() for e in "lrtb"]
        assert letters == spec["letters"]
    ratio = page.view("v.panes[1].stretch.ay / v.panes[1].stretch.ax")
    assert ratio == pytest.approx(3.0), "3 mm slices are drawn three pixels high"


def test_scrolling_100_slices_asks_the_server_nothing(page: Page) -> None:
    page.open("long")
    page.keys("Home")
    page.page.wait_for_timeout(300)
    page.requests.clear()
    page.keys(*["ArrowDown"] * 100)
    assert page.data()["slice"] == "100"
    box = page.page.locator(".omv-canvas").first.bounding_box()
    page.page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.page.mouse.wheel(0, -120)
    page.settle()
    assert page.data()["slice"] == "99"
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + 260, box["y"] + 170, steps=5)
    page.page.mouse.up()
    page.view("v.scope.setThreshold(0.2)")
    page.view("v.setMode('distance')")
    page.page.get_by_label("Strength").focus()
    page.page.keyboard.press("ArrowRight")
    assert page.view("v.opacity") == pytest.approx(0.6)
    page.keys("i", "m", "2", "+", "-", "f", "o", "n", "b", ",", ".")
    assert page.requests == []


def test_window_by_drag_keys_and_presets(page: Page, phantoms: dict[str, Any]) -> None:
    page.open("oriented")
    values = harness.orientation_volume()[5]
    presets = phantoms["oriented"][0].presets
    page.keys("2")
    assert page.data()["window"] == f"{presets[1][1]:g},{presets[1][2]:g}"
    _, level, width = presets[1]
    np.testing.assert_array_equal(page.source(), apply_window(values, level, width))
    assert page.page.locator(".omv-differs").is_visible()
    page.keys("i")
    np.testing.assert_array_equal(page.source(), apply_window(values, level, width, inverted=True))
    page.keys("r")
    assert page.data()["window"] == "100,400"
    assert not page.page.locator(".omv-differs").is_visible()
    box = page.page.locator(".omv-canvas").first.bounding_box()
    page.page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + 150, box["y"] + 120, steps=4)
    page.page.mouse.up()
    page.settle()
    level, width = (float(v) for v in page.data()["window"].split(","))
    assert level > 100
    assert width > 400
    np.testing.assert_array_equal(page.source(), apply_window(values, level, width))


def test_inverted_radiograph_is_shown_as_python_shows_it(page: Page, phantoms: dict[str, Any]) -> None:
    page.open("chest")
    np.testing.assert_array_equal(page.source(), phantoms["chest"][0].frames()[0, :, :, 0])
    assert page.page.locator(".omv-mark.omv-l").first.inner_text() == "", "no letters without orientation"
    assert page.page.locator(".omv-scale").first.is_visible()


def test_clip_frames_are_exact(page: Page, phantoms: dict[str, Any]) -> None:
    page.open("clip")
    frames = phantoms["clip"][0].frames()
    for k in (0, 7, 19, 3):
        page.view("v.goto(a)", k)
        page.page.wait_for_function("k => document.querySelector('.omv').dataset.frame === String(k)", arg=k)
        got = page.page.evaluate(
            "k => { const b = document.querySelector('.omv').view.store.cache.get(k);"
            " const c = new OffscreenCanvas(b.width, b.height).getContext('2d'); c.drawImage(b, 0, 0);"
            " return Array.from(c.getImageData(0, 0, b.width, b.height).data) }",
            k,
        )
        np.testing.assert_array_equal(np.array(got).reshape(84, 112, 4)[..., :3], frames[k])


READ_CODE = """() => { const v = document.querySelector('.omv').view; const p = v.pane; let n = 0;
  for (let bit = 0; bit < 8; bit++) {
    const x = p.view.x + (90 + 64 * bit) * p.view.scale, y = p.view.y + 180 * p.view.scale;
    if (p.ctx.getImageData(x, y, 1, 1).data[1] > 128) n += 1 << bit;
  } return [n, Number(v.root.dataset.frame)]; }"""


def test_frame_shown_is_the_frame_asked(page: Page) -> None:
    """Random seeks over a long clip, the frame number read from its pixels on the page."""
    page.open("coded")
    page.keys("o")
    page.page.wait_for_function("document.querySelector('.omv').dataset.clip === 'true'")
    rng = np.random.default_rng(1)
    wrong = []
    for k in rng.integers(0, harness.CODED_FRAMES, 60).tolist():
        page.view("v.goto(a)", k)
        page.page.wait_for_function("k => document.querySelector('.omv').dataset.frame === String(k)", arg=k)
        if page.page.evaluate(READ_CODE) != [k, k]:
            wrong.append((k, page.page.evaluate(READ_CODE)))
    assert wrong == []
    page.view("v.goto(100)")
    page.page.wait_for_function("document.querySelector('.omv').dataset.frame === '100'")
    for k in (101, 102, 103):
        page.keys("ArrowRight")
        page.page.wait_for_function("k => document.querySelector('.omv').dataset.frame === String(k)", arg=k)
        assert page.page.evaluate(READ_CODE) == [k, k]


def test_a_playing_clip_says_the_frame_it_shows(page: Page) -> None:
    page.open("coded")
    page.keys("o")
    page.page.wait_for_function("document.querySelector('.omv').dataset.clip === 'true'")
    page.keys(" ")
    page.page.wait_for_function("Number(document.querySelector('.omv').dataset.frame) > 20")
    page.keys(" ")
    page.page.wait_for_function(
        "(() => { const v = document.querySelector('.omv').view; const k = v.cursor[0];"
        " return !v.player.playing && (v.store.has(k) || v.player.clip.shown === k)"
        " && v.root.dataset.frame === String(k) })()"
    )
    page.settle()
    shown, said = page.page.evaluate(READ_CODE)
    assert shown == said > 20


def test_sampled_frames_play_in_their_own_time(page: Page) -> None:
    """Before the whole clip is there, play shows the sampled frames, each as long as it lasts."""
    page.open("coded")
    page.view("v.player.setClip(null)")
    given = page.view("v.store.index.slice()")
    assert len(given) < harness.CODED_FRAMES
    assert page.view("v.lastAtHand(a)", given[1] - 1) == given[0]
    page.keys("Home", "ArrowRight")
    assert page.data()["frame"] == str(given[1])
    page.keys(" ")
    page.page.wait_for_function(
        "k => Number(document.querySelector('.omv').dataset.frame) >= k", arg=given[2]
    )
    page.keys(" ")
    assert int(page.data()["frame"]) in given


def test_overlay_is_the_runs_mask_in_its_true_rectangles(page: Page, phantoms: dict[str, Any]) -> None:
    """Every token's middle is veiled exactly when the run pruned it, on the canvas a person sees."""
    _, mask, _ = phantoms["clip"]
    page.open("clip")
    k = 3
    page.view("v.goto(a)", int(mask.frame_index[k]))
    page.page.wait_for_function(
        "k => document.querySelector('.omv').dataset.frame === String(k)", arg=int(mask.frame_index[k])
    )
    page.settle()
    read = (
        "(() => { const p = v.pane; const c = p.ctx; return a.map(([x, y]) => {"
        " const px = p.view.x + x * p.view.scale, py = p.view.y + y * p.view.scale;"
        " return Array.from(c.getImageData(px, py, 1, 1).data) }) })()"
    )
    middles = [((r[0] + r[2]) / 2, (r[1] + r[3]) / 2) for r in mask.rects.reshape(-1, 4).tolist()]
    covered = np.array(page.view(read, middles))
    page.keys("o")
    plain = np.array(page.view(read, middles))
    veiled = np.abs(covered - plain).max(axis=1) > 8
    np.testing.assert_array_equal(veiled, ~mask.keep[k].ravel())


def test_tokens_on_the_panel_are_the_runs(page: Page, phantoms: dict[str, Any]) -> None:
    _, mask, _ = phantoms["oriented"]
    page.open("oriented")
    data = page.data()
    assert (int(data["kept"]), int(data["total"])) == (mask.kept, mask.total)
    assert float(data["threshold"]) == 0.1
    assert "20 HU at a window of 400 HU" in page.page.locator(".omv-rule").inner_text()


@pytest.mark.parametrize("reference", ["previous", "last_kept"])
@pytest.mark.parametrize("threshold", [0.0, 0.02, 0.075, 2.0])
def test_what_ifs_equal_the_rule_in_python(
    page: Page, phantoms: dict[str, Any], reference: str, threshold: float
) -> None:
    for name in ("clip", "oriented"):
        _, _, patches = phantoms[name]
        page.open(name)
        page.view("v.scope.setReference(a)", reference)
        page.view("v.scope.setThreshold(a)", threshold)
        page.page.wait_for_function(
            "a => { const s = document.querySelector('.omv').view.scope;"
            " return s.wanted.reference === a[0] && (!s.needsPixels || s.ownPixels) }",
            arg=[reference],
        )
        page.settle()
        expected = keep_mask(patches, threshold, reference)  # type: ignore[arg-type]
        keep = np.array(page.view("Array.from(v.scope.now.keep)"), bool).reshape(expected.keep.shape)
        np.testing.assert_array_equal(keep, expected.keep)
        runs = np.array(page.view("Array.from(v.scope.now.runs)")).reshape(expected.keep.shape)
        np.testing.assert_array_equal(runs, expected.run_length)
        assert int(page.data()["kept"]) == expected.kept
        assert page.page.locator(".omv-whatif").is_visible()
        page.page.locator(".omv-whatif button").click()
        assert page.data()["whatif"] == "false"


def test_pruning_off_shows_every_token(page: Page, phantoms: dict[str, Any]) -> None:
    _, mask, _ = phantoms["oriented"]
    page.open("oriented")
    page.requests.clear()
    page.page.locator(".omv-seg label", has_text="off").click()
    assert page.page.inner_text(".omv-big") == f"all {mask.total}"
    assert "pruning off" in page.page.inner_text(".omv-count")
    assert int(page.data()["kept"]) == mask.total
    assert "What if: pruning off instead of 0.1 (previous)" in page.page.inner_text(".omv-whatif")
    for threshold in ("0.2", "0.1"):  # who moves the threshold wants to prune again
        page.page.fill(".omv-number", threshold)
        page.page.press(".omv-number", "Enter")
        assert page.data()["reference"] == "previous"
    assert page.page.inner_text(".omv-big") == f"{mask.kept} / {mask.total}"
    assert page.data()["whatif"] == "false"
    assert [r for r in page.requests if "/file=" in r] == [], "no pixel and no mask is fetched for it"


def test_answers_mask_replaces_the_overlay_without_sending_the_picture_again(page: Page) -> None:
    page.open("oriented")
    page.keys("Home", "ArrowDown", "+", "+")
    scale = page.view("v.pane.view.scale")
    page.requests.clear()
    page.page.get_by_label("oriented-answer", exact=True).check()
    page.page.wait_for_function("document.querySelector('.omv').dataset.threshold === '0.02'")
    files = [r for r in page.requests if "/file=" in r]
    assert len(files) == 1
    assert "mask-" in files[0]
    assert page.data()["slice"] == "1"
    assert page.view("v.pane.view.scale") == scale
    assert "Used for the answer" in page.page.locator(".omv-tokens").inner_text()


def test_last_kept_what_if_survives_a_new_mask(page: Page, phantoms: dict[str, Any]) -> None:
    _, _, patches = phantoms["oriented"]
    for name, threshold in (("oriented", "0.1"), ("oriented-answer", "0.02"), ("oriented", "0.1")):
        page.page.get_by_label(name, exact=True).check()
        page.page.wait_for_function(
            "t => document.querySelector('.omv').dataset.threshold === t", arg=threshold
        )
        page.view("v.scope.setReference('last_kept')")
        page.page.wait_for_function("document.querySelector('.omv').dataset.reference === 'last_kept'")
        expected = keep_mask(patches, float(threshold), "last_kept")
        assert int(page.data()["kept"]) == expected.kept
        page.page.locator(".omv-whatif button").click()


def test_events_reach_python(page: Page) -> None:
    page.open("oriented")
    page.page.locator(".omv-number").fill("0.15")
    page.page.locator(".omv-number").press("Enter")
    heard = page.page.locator("#heard textarea, #heard input").first
    page.page.wait_for_function(
        "document.querySelector('#heard textarea, #heard input').value.includes('0.15')"
    )
    page.page.get_by_role("button", name="Ask about this slice alone").click()
    page.page.wait_for_function(
        "document.querySelector('#heard textarea, #heard input').value.includes('index')"
    )
    assert '"index": 5' in heard.input_value()
    page.page.locator(".omv-number").fill("99")
    page.page.locator(".omv-number").press("Enter")
    assert page.page.locator(".omv-number").input_value() == "2", "the box says what is used"
    page.keys("2")
    page.page.get_by_role("button", name="Give the model this window").click()
    page.page.wait_for_function(
        "document.querySelector('#heard textarea, #heard input').value.includes('level')"
    )


def test_strip_jumps_and_change_keys(page: Page, phantoms: dict[str, Any]) -> None:
    _, mask, _ = phantoms["oriented"]
    page.open("oriented")
    box = page.page.locator(".omv-strip").bounding_box()
    page.page.mouse.click(box["x"] + box["width"] * 0.75, box["y"] + 10)
    page.settle()
    assert page.data()["slice"] == "7"
    page.keys("Home", "n")
    changes = [int(i) for i, n in zip(mask.frame_index, mask.kept_per_frame, strict=True) if n > 1][1:]
    assert page.data()["slice"] == str(changes[0]) == "3"
    page.keys("n", "n", "n")
    assert page.data()["slice"] == str(changes[-1])
    page.keys("b")
    assert page.data()["slice"] == str(changes[-2])


def test_measure_in_millimetres(page: Page) -> None:
    page.open("oriented")
    page.keys("d")
    box = page.page.locator(".omv-canvas").first.bounding_box()
    scale = page.view("v.pane.view.scale / v.pane.ratio")
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.page.mouse.move(x, y)
    page.page.mouse.down()
    page.page.mouse.move(x + 3 * scale, y + 4 * scale, steps=3)
    page.page.mouse.up()
    assert page.page.locator(".omv-length").inner_text() == "5.0 mm"


def test_readout_under_the_pointer(page: Page) -> None:
    page.open("oriented")
    point = page.view(
        "(() => { const p = v.pane, b = p.canvas.getBoundingClientRect();"
        " const at = (o, k) => (o + k * p.view.scale) / p.ratio;"
        " return [b.x + at(p.view.x, 10.5), b.y + at(p.view.y, 20.5)] })()"
    )
    page.page.mouse.move(*point)
    page.settle()
    text = page.page.locator(".omv-br").first.inner_text()
    assert f"{11 * 5 + 2 * 20 + 3 * 10} HU" in text
    assert "R 10.0  A -5.0  S 5.0 mm" in text
    assert "Token" in page.page.locator(".omv-hover").inner_text()
    assert text.startswith("token "), "the token under the pointer is named beside the picture, too"


def test_goto_from_links(page: Page) -> None:
    page.open("clip")
    page.page.evaluate("window.omnivmedViewer.goto({time_s: 1.23})")
    page.page.wait_for_function("document.querySelector('.omv').dataset.frame === '12'")
    page.page.evaluate("window.omnivmedViewer.goto({number: 3}, 'viewer')")
    page.page.wait_for_function("document.querySelector('.omv').dataset.frame === '2'")


def test_mask_export_opens_in_numpy(page: Page, phantoms: dict[str, Any]) -> None:
    _, mask, _ = phantoms["oriented"]
    page.open("oriented")
    page.page.get_by_role("button", name="Take it with you").click()
    with page.page.expect_download() as got:
        page.page.get_by_role("menuitem", name="Mask as NPZ (NumPy)").click()
    data = got.value.path().read_bytes()
    assert zipfile.ZipFile(io.BytesIO(data)).testzip() is None
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["keep"], mask.keep)
        np.testing.assert_array_equal(arrays["distance"], mask.distance)
        np.testing.assert_array_equal(arrays["rects"], mask.rects)
        np.testing.assert_array_equal(arrays["frame_index"], mask.frame_index)


@pytest.mark.parametrize("name", ["oriented", "clip", "chest"])
def test_json_export_is_the_masks_own_schema(page: Page, phantoms: dict[str, Any], name: str) -> None:
    _, mask, _ = phantoms[name]
    page.open(name)
    page.page.get_by_role("button", name="Take it with you").click()
    with page.page.expect_download() as got:
        page.page.get_by_role("menuitem", name="Mask as JSON").click()
    exported = json.loads(got.value.path().read_text())
    facts = exported.pop("viewer")
    assert (facts["what_if"], facts["kept"], facts["note"]) == (False, mask.kept, "Not for clinical use")
    expected = mask.to_dict()
    assert set(exported) == set(expected)
    for key in ("rects", "distance"):  # the last digit may be rounded the other way
        for mine, theirs in zip(exported.pop(key), expected.pop(key), strict=True):
            assert mine == (theirs if theirs is None else pytest.approx(theirs, abs=1.1e-3))
    assert exported == expected


def test_picture_export_says_how_it_was_made(page: Page, phantoms: dict[str, Any]) -> None:
    """One text chunk with the settings and the model; nothing else of anybody's travels in the file."""
    import cv2
    from PIL import Image

    _, mask, _ = phantoms["oriented"]
    page.open("oriented")
    page.page.get_by_role("button", name="Take it with you").click()
    with page.page.expect_download() as got:
        page.page.get_by_role("menuitem", name="This picture as PNG").click()
    data = got.value.path().read_bytes()
    picture = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
    canvas = page.view("[v.pane.canvas.width, v.pane.canvas.height]")
    assert picture.shape[1] == canvas[0]
    assert picture.shape[0] >= canvas[1] + 20, "a line of settings below the picture"
    with Image.open(io.BytesIO(data)) as png:
        assert isinstance(png, PngImageFile)
        assert list(png.text) == ["OmniV-Med"]
        facts = json.loads(png.info["OmniV-Med"])
    assert (facts["model"], facts["version"]) == ("test", "9.9")
    assert (facts["threshold"], facts["threshold_meaning"]) == (0.1, mask.threshold_meaning)
    assert (facts["kept"], facts["window_model"], facts["window_shown"]) == (
        mask.kept,
        [100, 400],
        [100, 400],
    )
    assert set(facts) == FACTS


# Everything an exported file says about itself; a new entry is to be looked at for patient data first.
FACTS = {
    "schema", "program", "note", "model", "version", "kind", "modality", "frame", "time_s", "window_shown",
    "window_model", "unit", "threshold", "threshold_meaning", "threshold_run", "what_if", "reference", "scale",
    "min_tokens", "kept", "total", "mode",
}  # fmt: skip


def test_keys_go_on_after_another_layout(page: Page) -> None:
    """Three planes and back replace the canvases; whoever works from the keyboard stays in the picture."""
    page.open("oriented")
    page.keys("x")
    page.page.keyboard.press("ArrowDown")
    page.page.keyboard.press("x")
    page.page.keyboard.press("ArrowDown")
    page.settle()
    assert page.data()["slice"] == "7"
    assert len(page.view("v.panes.map(p => p.spec.axis)")) == 1


def test_comma_and_full_stop_step_and_j_k_visit_what_was_given(page: Page, phantoms: dict[str, Any]) -> None:
    page.open("long")
    given = [int(i) for i in phantoms["long"][1].frame_index]
    page.keys("Home", ".", ".", ",")
    assert page.data()["slice"] == "1"
    page.keys("k")
    assert page.data()["slice"] == str(given[1])
    page.keys(">", "<", "j")
    assert page.data()["slice"] == "0"


def test_the_histogram_line_is_dragged(page: Page) -> None:
    """The threshold follows the pointer, the counts with it; Python hears of it once, when it is let go."""
    page.open("oriented")
    box = page.page.locator(".omv-hist").bounding_box()
    kept = int(page.data()["kept"])
    heard = page.page.locator("#heard textarea, #heard input").first
    before = heard.input_value()
    page.page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + 20)
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 20, steps=6)
    page.settle()
    assert float(page.data()["threshold"]) == pytest.approx(0.3, abs=0.011)
    assert int(page.data()["kept"]) < kept
    assert page.data()["whatif"] == "true"
    assert heard.input_value() == before
    page.page.mouse.up()
    page.page.wait_for_function(
        "b => document.querySelector('#heard textarea, #heard input').value !== b", arg=before
    )
    assert json.loads(heard.input_value())["threshold"] == pytest.approx(0.3, abs=0.011)


def test_run_length_and_distance_modes_colour_what_they_say(page: Page, phantoms: dict[str, Any]) -> None:
    """In both modes a token's colour on the canvas follows its number: equal numbers, equal colours."""
    _, mask, _ = phantoms["oriented"]
    page.open("oriented")
    page.keys("Home", "n")
    k = mask.frame_index.tolist().index(int(page.data()["slice"]))
    page.view("v.opacity = 1")
    middles = [((r[0] + r[2]) / 2, (r[1] + r[3]) / 2) for r in mask.rects.reshape(-1, 4).tolist()]
    read = (
        "(() => { const p = v.pane; return a.map(([x, y]) => Array.from(p.ctx.getImageData("
        "p.view.x + x * p.view.scale, p.view.y + y * p.view.scale, 1, 1).data).join()) })()"
    )
    for mode, numbers in (
        ("run", mask.run_length[k]),
        ("distance", np.sqrt(np.minimum(mask.distance[k], 0.4))),
    ):
        page.view("v.setMode(a)", mode)
        seen = page.view(read, middles)
        for a in range(len(seen)):
            for b in range(a):
                x, y = float(numbers.ravel()[a]), float(numbers.ravel()[b])
                if x == y:
                    assert seen[a] == seen[b]
                elif abs(x - y) > 0.1 * float(numbers.max()):
                    assert seen[a] != seen[b], (mode, x, y)


def test_two_fingers_zoom_and_one_scrolls(browser: Any, url: str) -> None:
    page = Page(browser, url, viewport={"width": 390, "height": 844}, has_touch=True)
    page.open("oriented")
    assert page.view("v.tool") == "scroll", "one finger scrolls where there is no mouse"
    box = page.page.locator(".omv-canvas").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = page.page.context.new_cdp_session(page.page)

    def fingers(kind: str, *points: tuple[float, float]) -> None:
        spots = [{"x": px, "y": py, "id": i} for i, (px, py) in enumerate(points)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": spots})

    before = page.view("v.pane.view.scale")
    fingers("touchStart", (x - 20, y), (x + 20, y))
    for k in range(1, 5):
        fingers("touchMove", (x - 20 - 10 * k, y), (x + 20 + 10 * k, y))
    fingers("touchEnd")
    page.settle()
    assert page.view("v.pane.view.scale") == pytest.approx(3 * before, rel=0.1)
    start = int(page.data()["slice"])
    fingers("touchStart", (x, y - 60))
    for k in range(1, 7):
        fingers("touchMove", (x, y - 60 + 20 * k))
    fingers("touchEnd")
    page.settle()
    assert int(page.data()["slice"]) > start
    page.page.close()


def test_twice_the_size_still_fits(browser: Any, url: str) -> None:
    """A 1440 x 900 window at 200 %: nothing is cut off sideways, every tool can be reached."""
    page = Page(browser, url, viewport={"width": 720, "height": 450}, device_scale_factor=2).open("oriented")
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 720
    hidden = page.page.evaluate(
        "[...document.querySelectorAll('.omv-btn')].filter(e => e.offsetParent && (() => { const r ="
        " e.getBoundingClientRect(); return r.width < 24 || r.left < 0 || r.right > 720 })()).map(e => e.title)"
    )
    page.page.close()
    assert hidden == []


def test_cine_runs_at_the_chosen_speed(page: Page) -> None:
    page.open("long")
    page.keys("Home")
    page.page.get_by_label("Speed").select_option("25")
    page.page.evaluate("window.t0 = performance.now()")
    page.keys(" ")
    page.page.wait_for_function("Number(document.querySelector('.omv').dataset.slice) >= 25")
    seconds = page.page.evaluate("(performance.now() - window.t0) / 1000")
    page.keys(" ")
    assert 0.8 < seconds < 3, "25 slices a second, on a busy machine a little less"
    stopped = page.data()["slice"]
    page.page.wait_for_timeout(200)
    assert page.data()["slice"] == stopped


def test_where_one_is_is_said_to_screen_readers(page: Page) -> None:
    page.open("oriented")
    page.keys("Home", ".")
    page.page.wait_for_function(
        "document.querySelector('.omv [aria-live]').textContent.includes('Slice 2 of 10')"
    )


def test_empty_again(page: Page) -> None:
    page.open("oriented")
    page.open("none", ready=False)
    page.page.wait_for_selector(".omv-empty:visible")
    assert page.data()["ready"] == "false"


def test_phone_width_has_no_overflow(browser: Any, url: str) -> None:
    page = Page(browser, url, viewport={"width": 390, "height": 844}).open("oriented")
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 390
    wide = page.page.evaluate(
        "[...document.querySelectorAll('.omv *')].filter(e => e.getBoundingClientRect().right > 391)"
        ".map(e => e.className)"
    )
    page.page.close()
    assert wide == []


def axe_script() -> str:
    """axe-core's own script, as the dev extra brings it."""
    package = pytest.importorskip(
        "axe_playwright_python", reason="needs the dev extra: axe-playwright-python"
    )
    return (Path(package.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_accessible(browser: Any, url: str, theme: str) -> None:
    """No finding of axe-core inside the viewer, with everything open that can be opened."""
    script = axe_script()
    page = Page(browser, f"{url}/?__theme={theme}", color_scheme=theme)
    for name, keys in [("oriented", "x"), ("clip", "m"), ("chest", "?")]:
        page.open(name)
        page.keys(keys, "2", "ArrowDown")
        page.page.evaluate(script)
        found = page.page.evaluate("axe.run('.omv').then(r => r.violations)")
        assert [(v["id"], [n["html"][:160] for n in v["nodes"]]) for v in found] == []
    page.page.close()


def test_everything_works_from_the_keyboard(page: Page) -> None:
    """Tab reaches every control in order, each with a visible focus; arrows on the threshold do not scroll."""
    page.open("oriented")
    page.page.locator(".omv-btn").first.focus()
    seen: list[str] = []
    for _ in range(60):
        name = page.page.evaluate(
            "(() => { const e = document.activeElement; if (!e.closest('.omv')) return '';"
            " return (e.getAttribute('aria-label') || e.textContent || e.value) })()"
        )
        if not name:
            break
        seen.append(name)
        page.page.keyboard.press("Tab")
    for wanted in (
        "Fit to the window (F)",
        "axial",
        "Position in the study",
        "Play (space)",
        "Threshold",
        "Strength",
    ):
        assert wanted in seen, seen
    page.page.locator(".omv-histbox input").focus()
    before = page.data()
    page.page.keyboard.press("ArrowRight")
    page.settle()
    assert page.data()["slice"] == before["slice"]
    assert float(page.data()["threshold"]) > float(before["threshold"])
    page.page.keyboard.press("o")
    page.settle()
    assert page.data()["overlay"] == "false", "letters work while a slider has the focus"
