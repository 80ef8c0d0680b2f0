"""Draw the synthetic endoscopy clip in ``samples/endoscopy_phantom.mp4``.

Everything in the clip is made by the functions below: no patient, no camera. It is 16 s at 25 frames
per second, 448 x 448, H.264 with constant rate. It shows what token pruning lives from: the scope rests
for a while (nearly nothing changes), moves on (everything changes), and rests again beside a bump that
only slightly wobbles.

    python assets/make_phantom.py assets/samples/endoscopy_phantom.mp4
"""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

SIZE = 448  # pixels per side
FPS = 25
SECONDS = 16
SEED = 7


def smooth_noise(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """Band-limited noise that tiles without a seam, float32 (size, size) in about [-1, 1]."""
    coarse = np.tile(rng.standard_normal((cells, cells)).astype(np.float32), (3, 3))
    return cv2.resize(coarse, (3 * size, 3 * size), interpolation=cv2.INTER_CUBIC)[
        size : 2 * size, size : 2 * size
    ]


def path_depth(t: float) -> float:
    """How far the scope has travelled at time t (s): rest, advance, rest, advance, rest."""
    knots_t = [0.0, 4.0, 7.0, 11.0, 13.0, 16.0]
    knots_d = [0.0, 0.0, 2.2, 2.2, 3.4, 3.4]
    return float(np.interp(t, knots_t, knots_d))


def draw_frame(t: float, vessels: np.ndarray, mucosa: np.ndarray) -> np.ndarray:
    """One frame, uint8 (SIZE, SIZE, 3) RGB."""
    depth = path_depth(t)
    moving = abs(path_depth(t + 0.04) - path_depth(t - 0.04)) > 1e-6
    breathe = 0.004 * np.sin(2 * np.pi * t / 4.0)
    yy, xx = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) / (SIZE - 1) * 2 - 1
    centre_x = 0.10 * np.sin(0.9 * depth) + breathe
    centre_y = 0.08 * np.cos(0.7 * depth)
    dx, dy = xx - centre_x, yy - centre_y
    radius = np.sqrt(dx * dx + dy * dy) + 1e-4
    angle = np.arctan2(dy, dx)

    tunnel = 0.35 / radius + depth  # position along the wall
    u = ((angle / (2 * np.pi) + 0.5) * SIZE * 2) % SIZE
    v = (tunnel * SIZE * 0.25) % SIZE
    texture = cv2.remap(
        mucosa, u.astype(np.float32), v.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
    )
    web = cv2.remap(
        vessels, u.astype(np.float32), v.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
    )
    folds = 0.5 + 0.5 * np.cos(2 * np.pi * tunnel * 0.9 + 0.6 * np.cos(3 * angle))
    light = np.clip(1.15 - 0.55 * np.abs(radius - 0.75), 0, 1.2) * np.clip(radius * 2.1, 0, 1)
    shade = light * (0.58 + 0.42 * folds**2) + 0.05 * texture

    red = 0.86 * shade + 0.02
    green = 0.47 * shade - 0.16 * web * light
    blue = 0.40 * shade - 0.13 * web * light

    # A round bump on the wall near the third resting place; it wobbles by a pixel or two.
    wobble = 0.006 * np.sin(2 * np.pi * 0.8 * t)
    grow = float(np.clip((depth - 1.6) / 0.6, 0, 1) * np.clip((3.1 - depth) / 0.5, 0, 1))
    if grow > 0:
        bump_r = 0.20 * grow
        d2 = ((xx - 0.42 - wobble) ** 2 + (yy + 0.30 + wobble) ** 2) / (bump_r * bump_r + 1e-6)
        inside = np.clip(1 - d2, 0, 1)
        dome = np.sqrt(inside)
        edge = np.clip((1 - d2) * 6, 0, 1)
        red = red * (1 - edge) + edge * (0.62 + 0.34 * dome)
        green = green * (1 - edge) + edge * (0.26 + 0.24 * dome)
        blue = blue * (1 - edge) + edge * (0.25 + 0.20 * dome)
        glint = np.exp(-(((xx - 0.37) ** 2 + (yy + 0.37) ** 2) / 0.0006)) * grow
        red, green, blue = red + glint, green + glint, blue + glint

    # Wet highlights fixed to the light source.
    spark = np.zeros_like(red)
    for k in range(7):
        a = 0.9 * k + (2.1 * depth if moving else 2.1 * round(depth, 3))
        r = 0.55 + 0.07 * (k % 4)
        spark += np.exp(-((xx - r * np.cos(a)) ** 2 + (yy - r * np.sin(a)) ** 2) / 0.00045)
    frame = np.stack([red + spark, green + spark, blue + spark], axis=-1)

    mask = np.clip((0.985 - np.sqrt(xx * xx + yy * yy)) * 60, 0, 1)[..., None]
    picture = (np.clip(frame * mask, 0, 1) * 255).astype(np.uint8)
    cv2.putText(
        picture, "SYNTHETIC", (8, SIZE - 10), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (150, 150, 150), 1, cv2.LINE_AA
    )
    return picture


def make_clip(target: Path) -> None:
    """Write the clip; the same bytes of picture for the same seed."""
    rng = np.random.default_rng(SEED)
    mucosa = smooth_noise(rng, SIZE, 48) + 0.5 * smooth_noise(rng, SIZE, 112)
    ridges = np.abs(smooth_noise(rng, SIZE, 18)) + 0.4 * np.abs(smooth_noise(rng, SIZE, 40))
    vessels = np.clip(1 - ridges * 4.0, 0, 1).astype(np.float32)
    with av.open(str(target), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width = stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, FPS)
        stream.options = {"crf": "26", "preset": "slow", "g": "50"}
        for k in range(FPS * SECONDS):
            frame = av.VideoFrame.from_ndarray(draw_frame(k / FPS, vessels, mucosa), format="rgb24")
            frame.pts = k
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


if __name__ == "__main__":
    make_clip(Path(sys.argv[1] if len(sys.argv) > 1 else "assets/samples/endoscopy_phantom.mp4"))
