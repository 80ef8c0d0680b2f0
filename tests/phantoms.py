"""Studies drawn by code: small, asymmetric, and known to the last pixel."""

from __future__ import annotations

import numpy as np

from omnivmed.study import Study
from omnivmed.vision import Patches, patchify, token_rects


def disc(size: tuple[int, int], centre: tuple[float, float], radius: float) -> np.ndarray:
    """bool (H, W), True inside the circle; centre is (row, column)."""
    rows, cols = np.mgrid[: size[0], : size[1]]
    return np.asarray((rows - centre[0]) ** 2 + (cols - centre[1]) ** 2 <= radius**2)


def ct_volume(slices: int = 12, size: tuple[int, int] = (96, 112)) -> np.ndarray:
    """int16 (T, H, W) in HU: air, a soft-tissue body, a bright bone left of the centre, a lesion in slices 4..6."""
    volume = np.full((slices, *size), -1000, dtype=np.int16)
    h, w = size
    for t in range(slices):
        volume[t][disc(size, (h / 2, w / 2), min(size) * 0.42)] = 40
        volume[t][disc(size, (h / 2 + t, w * 0.3), 6)] = 900
        if 4 <= t <= 6:
            volume[t][disc(size, (h * 0.35, w * 0.65), 8)] = 90
    return volume


def moving_clip(frames: int = 20, size: tuple[int, int] = (84, 112)) -> np.ndarray:
    """uint8 (T, H, W, 3): a still reddish background, a white square moving right, a static green corner mark."""
    h, w = size
    clip = np.zeros((frames, h, w, 3), dtype=np.uint8)
    clip[:] = (90, 40, 30)
    clip[:, :10, :10] = (0, 200, 0)
    for t in range(frames):
        x = 10 + t * (w - 40) // max(frames - 1, 1)
        clip[t, 40:60, x : x + 20] = 255
    return clip


def radiograph(size: tuple[int, int] = (300, 260)) -> np.ndarray:
    """uint16 (1, H, W), 12 bit: two dark lung fields of different size on a bright body."""
    image = np.full(size, 2800, dtype=np.uint16)
    h, w = size
    image[disc(size, (h * 0.5, w * 0.3), h * 0.2)] = 700
    image[disc(size, (h * 0.5, w * 0.72), h * 0.16)] = 900
    return image[None]


def ct_study(slices: int = 12, size: tuple[int, int] = (96, 112)) -> Study:
    """The CT volume as a study: 3 x 1 x 1 mm, window 40/400."""
    return Study.from_array(
        ct_volume(slices, size),
        kind="volume",
        spacing_mm=(3.0, 1.0, 1.0),
        modality="CT",
        window=(40, 400),
    )


def image_study() -> Study:
    """The radiograph as a study."""
    return Study.from_array(radiograph(), kind="image", window=(1800, 2400))


def clip_study(frames: int = 20, fps: float = 10.0) -> Study:
    """The moving clip as a video study."""
    return Study.from_array(moving_clip(frames), kind="video", times_s=np.arange(frames) / fps)


def patches_of(frames_THWC: np.ndarray, merge_size: int = 2) -> Patches:
    """Patches straight from uint8 (T, H, W, 3) frames whose sides fit the grid; no study, no resize."""
    rows, grid = patchify(frames_THWC, merge_size)
    t, gh, gw = grid
    size = (frames_THWC.shape[1], frames_THWC.shape[2])
    return Patches(
        patches=rows,
        grid_thw=grid,
        merge_size=merge_size,
        frame_index=np.arange(t),
        rects=token_rects((gh // merge_size, gw // merge_size), size),
        source_size=size,
        resized_size=size,
        window=None,
        unit="rgb",
        kind="video" if t > 1 else "image",
    )
