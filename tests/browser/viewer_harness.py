"""A Blocks app with nothing but the viewer, and a headless browser to look at it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np


def orientation_volume() -> np.ndarray:
    """int16 (T, H, W) = (10, 40, 48), every voxel different from its mirror image.

    value = 11·slice + 2·row + column·3, a dark block in slice 3 alone, and a bright one at the patient's right,
    front, head end of an axial stack (low columns, low rows, high slices).
    """
    t, r, c = np.mgrid[:10, :40, :48]
    volume = (11 * t + 2 * r + 3 * c).astype(np.int16)
    volume[3, 20:36, 20:44] = -300
    volume[7:, 2:10, 3:9] = 1500
    return np.asarray(volume)


CODED_FRAMES = 240


def coded_clip() -> np.ndarray:
    """uint8 (T, 360, 640, 3) over a drifting background: the frame number as eight black and white squares."""
    frames = np.empty((CODED_FRAMES, 360, 640, 3), np.uint8)
    ramp = np.arange(640)[None, :, None]
    for t in range(CODED_FRAMES):
        frames[t] = (ramp + 3 * t) % 200 + 20
        for bit in range(8):
            frames[t, 150:210, 60 + 64 * bit : 120 + 64 * bit] = 235 if t >> bit & 1 else 16
    return frames


def coded_times() -> np.ndarray:
    """Seconds of the coded clip's frames: a variable rate, as phones and screen recorders write."""
    return np.cumsum(np.where(np.arange(CODED_FRAMES) % 7 == 0, 0.09, 0.033)) - 0.09


def studies() -> dict[str, Any]:
    """Name -> (study, mask or None, patches or None): all drawn by code."""
    from omnivmed.pruning import keep_mask
    from omnivmed.study import Study
    from omnivmed.vision import NANO_BUDGET, prepare
    from tests import phantoms

    axial = np.array([[0, 0, -1, 20], [0, -1, 0, 15], [3, 0, 0, -10], [0, 0, 0, 1]], float)
    oriented = Study.from_array(
        orientation_volume(),
        "volume",
        spacing_mm=(3.0, 1.0, 1.0),
        modality="CT",
        window=(100, 400),
        affine=axial,
    )
    rng = np.random.default_rng(0)
    tall = rng.integers(-200, 300, (120, 64, 64), dtype=np.int16)
    long = Study.from_array(tall, "volume", spacing_mm=(2.0, 2.0, 1.0), modality="CT", window=(40, 400))
    chest = Study.from_array(
        phantoms.radiograph()[0], "image", spacing_mm=(None, 0.5, 0.5), modality="CR", inverted=True
    )
    clip = Study.from_array(phantoms.moving_clip(), "video", times_s=np.arange(20) / 10)
    found: dict[str, Any] = {}
    for name, study in {"oriented": oriented, "long": long, "chest": chest, "clip": clip}.items():
        patches = prepare(study, NANO_BUDGET)
        found[name] = (study, keep_mask(patches), patches)
    return found


def serve(port: int, more: dict[str, Any] | None = None) -> None:
    """Run the app on `port` until killed; `more` are further values to choose from."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    import gradio as gr

    from omnivmed.pruning import keep_mask
    from omnivmed.ui.canvas.container import payload_path
    from omnivmed.ui.canvas.payload import pack_mask, pack_pixels, pack_study
    from omnivmed.ui.canvas.viewer import StudyViewer, show

    folder = tempfile.mkdtemp()
    values: dict[str, Any] = {"none": None}
    for name, (study, mask, patches) in studies().items():
        values[name] = show(
            study=pack_study(study, mask, payload_path(folder, "study")).path,
            pixels=pack_pixels(patches, payload_path(folder, "pixels"), content_id=study.content_id).path,
            seconds_per_token=0.002,
        )
        if name == "oriented":
            other = keep_mask(patches, 0.02)
            path = pack_mask(other, payload_path(folder, "mask"), content_id=study.content_id).path
            pixels = values[name].pixels.path
            values["oriented-answer"] = show(
                study=values[name].study.path, mask=path, pixels=pixels, role="answer"
            )
    for value in values.values():
        if value is not None:
            value.state = value.state.model_copy(update={"model": "test", "version": "9.9"})
    values["coded"] = coded_value(folder)
    values |= more or {}

    def pick(name: str) -> Any:
        return values[name]

    def heard(event: Any) -> str:
        return json.dumps(event._data)

    # Gradio looks at the annotation itself; the module's annotations are strings.
    heard.__annotations__["event"] = gr.EventData

    with gr.Blocks(analytics_enabled=False) as demo:
        gr.Markdown("# Viewer")
        names = gr.Radio(list(values), label="Study", elem_id="names")
        viewer = StudyViewer(elem_id="viewer")
        said = gr.Textbox(label="Heard", elem_id="heard")
        names.input(pick, names, viewer, show_progress="hidden")
        for event in ("threshold_release", "ask_slice", "use_window"):
            getattr(viewer, event)(heard, None, said, show_progress="hidden")
    demo.queue().launch(
        server_name="127.0.0.1", server_port=port, run_history=False, enable_monitoring=False, footer_links=[]
    )


def coded_value(folder: str) -> Any:
    """The coded clip as a long one: sampled frames as pictures, the rest through the transcoded clip."""
    import threading

    from omnivmed.pruning import keep_mask
    from omnivmed.study import Study
    from omnivmed.ui.canvas.container import payload_path
    from omnivmed.ui.canvas.payload import pack_study
    from omnivmed.ui.canvas.transcode import transcode
    from omnivmed.ui.canvas.viewer import show
    from omnivmed.vision import NANO_BUDGET, prepare

    study = Study.from_array(coded_clip(), "video", times_s=coded_times())
    path = Path(folder) / (payload_path(folder, "clip").stem + ".mp4")
    made: list[Any] = []
    worker = threading.Thread(target=lambda: made.append(transcode(study, path)))
    worker.start()
    mask = keep_mask(prepare(study, NANO_BUDGET))
    info = pack_study(study, mask, payload_path(folder, "study"))
    worker.join()
    return show(study=info.path, video=path, video_fps=made[0].fps)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextmanager
def running_app(*extra: str, **environment: str) -> Iterator[str]:
    """The app in a process of its own; yields its address. "speed" adds the large studies."""
    port = free_port()
    root = Path(__file__).parents[2]
    env = os.environ | {"PYTHONPATH": str(root), "GRADIO_ANALYTICS_ENABLED": "False"} | environment
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.browser.viewer_harness", str(port), *extra], cwd=root, env=env
    )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 240
        while True:
            try:
                urllib.request.urlopen(url, timeout=2).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("the viewer's test app did not start") from None
                time.sleep(0.3)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def speed_values(folder: str) -> dict[str, Any]:
    """Large studies, for measuring: a 256² and a 512² stack, a 3000² radiograph."""
    from omnivmed.pruning import keep_mask
    from omnivmed.study import Study
    from omnivmed.ui.canvas.container import payload_path
    from omnivmed.ui.canvas.payload import pack_study
    from omnivmed.ui.canvas.viewer import show
    from omnivmed.vision import DEFAULT_BUDGET, prepare

    out: dict[str, Any] = {}
    rows, cols = np.mgrid[:512, :512]
    body = (np.hypot(rows - 256, cols - 256) < 200).astype(np.int16) * 1040 - 1000
    noise = np.random.default_rng(0).integers(-15, 15, (8, 512, 512), dtype=np.int16)
    stack = np.stack(
        [body + noise[t % 8] + (np.hypot(rows - 200 - t, cols - 260) < 30) * 60 for t in range(100)]
    )
    stack = stack.astype(np.int16)
    long = np.concatenate([stack, stack[::-1], stack])
    large = np.tile((np.arange(3000) * 4095 // 3000).astype(np.uint16), (3000, 1))
    large[1000:1500, 400:900] = 300
    studies = {
        "256": Study.from_array(
            stack[:, ::2, ::2], "volume", spacing_mm=(3, 1, 1), modality="CT", window=(40, 400)
        ),
        "512": Study.from_array(stack, "volume", spacing_mm=(3, 1, 1), modality="CT", window=(40, 400)),
        "300 slices": Study.from_array(long, "volume", spacing_mm=(1, 1, 1), modality="CT", window=(40, 400)),
        "3000": Study.from_array(large, "image", spacing_mm=(None, 0.14, 0.14), modality="DX"),
    }
    for name, study in studies.items():
        mask = keep_mask(prepare(study, DEFAULT_BUDGET))
        start = time.perf_counter()
        info = pack_study(study, mask, payload_path(folder, "study"), max_bytes=256 * 2**20)
        print(
            f"{name}: packed in {time.perf_counter() - start:.2f} s, {info.bytes / 2**20:.1f} MiB", flush=True
        )
        out[name] = show(study=info.path)
    return out


if __name__ == "__main__":
    serve(int(sys.argv[1]), speed_values(tempfile.mkdtemp()) if "speed" in sys.argv else None)
