"""Take it with you: every file the page gives names model, threshold, window and version, and nobody's name."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from omnivmed import __version__
from tests.browser.conftest import Watched
from tests.io.makers import ct_series, put, series_zip

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]
Opener = Callable[..., Watched]
WINDOW = [40.0, 400.0]
# Written into every header of the upload; none of it may come out again.
SECRETS = (b"Rosalind", b"19200725", b"MRN-77-431", b"Kings College", b"patient-scan")


def saved(page: Any, click: Callable[[], None]) -> bytes:
    with page.expect_download() as got:
        click()
    return Path(got.value.path()).read_bytes()


def test_every_file(open_page: Opener, tmp_path: Path) -> None:
    import av

    slices = ct_series(
        tuple(2.5 * i for i in range(12)),
        PatientName="Franklin^Rosalind",
        PatientBirthDate="19200725",
        PatientID="MRN-77-431",
        InstitutionName="Kings College",
    )
    watched = open_page(height=1100)
    page = watched.page
    watched.wait_for_study(112)
    page.set_input_files(
        "#ov-upload input[type=file]", str(put(tmp_path, "patient-scan.zip", series_zip(slices)))
    )
    watched.wait_for_study(12)
    page.fill("#ov-question textarea", "Which plane?")
    page.click("#ov-ask")
    page.wait_for_function("() => document.querySelector('#ov-chat').innerText.includes(' tokens')")
    page.wait_for_selector("#ov-ask:not([disabled])")

    def menu(item: str) -> bytes:
        page.get_by_role("button", name="Take it with you").click()
        return saved(page, lambda: page.get_by_role("menuitem", name=item).click())

    files: dict[str, bytes] = {
        "png": menu("This picture as PNG"),
        "mask.json": menu("Mask as JSON"),
        "mask.npz": menu("Mask as NPZ (NumPy)"),
        "md": saved(page, lambda: page.click("#ov-save-chat")),
    }
    page.click("button[role=tab]:has-text('What it saw')")
    files["answer.json"] = saved(page, lambda: page.click("#ov-save-json"))
    page.click("#ov-make-clip")
    page.wait_for_selector("#ov-save-overlay")
    files["mp4"] = saved(page, lambda: page.click("#ov-save-overlay"))

    with Image.open(io.BytesIO(files["png"])) as png:
        picture = json.loads(png.info["OmniV-Med"])
    mask = json.loads(files["mask.json"])
    with np.load(io.BytesIO(files["mask.npz"]), allow_pickle=False) as arrays:
        assert arrays["keep"].sum() == mask["kept"]
        packed = json.loads(arrays["facts.json"].tobytes())
    for facts in (picture, mask["viewer"], packed):
        assert (facts["model"], facts["version"], facts["threshold"]) == ("scripted", __version__, 0.1)
        assert facts["window_model"] == WINDOW
    answer = json.loads(files["answer.json"])
    assert answer["omnivmed"] == __version__
    assert answer["answer"]["model"] == "scripted"
    assert answer["answer"]["threshold"] == 0.1
    assert answer["answer"]["window"] == WINDOW
    words = files["md"].decode()
    for part in ("Which plane?", "scripted", __version__, "threshold 0.1", "level 40, width 400"):
        assert part in words
    with av.open(io.BytesIO(files["mp4"])) as clip:
        told = json.loads(clip.metadata["comment"])
        assert isinstance(clip, av.container.InputContainer)
        pictures = len(list(clip.decode(video=0)))
    assert (told["model"], told["version"], told["threshold"]) == ("scripted", __version__, 0.1)
    assert told["window"] == WINDOW
    assert pictures == mask["grid_thw"][0]
    for name, data in files.items():
        inside = [data]
        if name.endswith("npz"):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                inside += [archive.read(member) for member in archive.namelist()]
        for secret in SECRETS:
            assert all(secret.lower() not in part.lower() for part in inside), (name, secret)
    assert watched.errors == []
    assert watched.external == []
