"""How the page looks: one calm theme on `gr.themes.Base`, system fonts, a dark stage for the picture."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import gradio as gr

from omnivmed.ui import texts
from omnivmed.ui.visit.samples import SAMPLES, thumbnail_uri

SANS = (
    "ui-sans-serif",
    "system-ui",
    "-apple-system",
    "Segoe UI",
    "Roboto",
    "Helvetica",
    "Arial",
    "sans-serif",
)
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "Liberation Mono", "monospace")
TEAL = gr.themes.Color(
    name="ov-teal",
    c50="#effaf8", c100="#d5f1ec", c200="#abe2da", c300="#78ccc3", c400="#46aea6", c500="#26918b",
    c600="#18746f", c700="#165d5a", c800="#154a48", c900="#143d3c", c950="#062424",
)  # fmt: skip
SLATE = gr.themes.Color(
    name="ov-slate",
    c50="#f7f8f9", c100="#eef0f2", c200="#dfe3e7", c300="#c5ccd3", c400="#94a0ab", c500="#66737f",
    c600="#4b5762", c700="#36404a", c800="#20272e", c900="#151a1f", c950="#0d1115",
)  # fmt: skip


def make_theme() -> gr.themes.Base:
    """The theme; fonts are those of the visitor's system, so that nothing is fetched from anywhere."""
    theme = gr.themes.Base(
        primary_hue=TEAL,
        secondary_hue=TEAL,
        neutral_hue=SLATE,
        font=list(SANS),
        font_mono=list(MONO),
        text_size=gr.themes.sizes.text_md,
        spacing_size=gr.themes.sizes.spacing_md,
        radius_size=gr.themes.sizes.radius_md,
    )
    return theme.set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        background_fill_primary="white",
        background_fill_primary_dark="*neutral_900",
        background_fill_secondary="*neutral_50",
        background_fill_secondary_dark="*neutral_950",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_color="*neutral_200",
        block_border_color_dark="*neutral_800",
        block_shadow="none",
        block_shadow_dark="none",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        border_color_primary="*neutral_200",
        border_color_primary_dark="*neutral_800",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_500",
        button_primary_background_fill_hover_dark="*primary_400",
        button_primary_text_color="white",
        button_primary_text_color_dark="*neutral_950",
        button_secondary_background_fill="white",
        button_secondary_background_fill_dark="*neutral_800",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="*neutral_700",
        input_background_fill="white",
        input_background_fill_dark="*neutral_950",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_700",
        slider_color="*primary_600",
        slider_color_dark="*primary_400",
    )


@lru_cache(maxsize=1)
def make_css() -> str:
    """app.css and the pictures of the sample buttons."""
    css = (Path(__file__).with_name("app.css")).read_text(encoding="utf-8")
    pictures = [
        f'#ov-samples #sample-{sample.key}::before {{ background-image: url("{thumbnail_uri(sample.key)}"); }}'
        for sample in SAMPLES
    ]
    words = f'.ov-upload .wrap[data-testid="upload-text"]::after {{ content: "{texts.UPLOAD_DROP}"; }}'
    return "\n".join([css, *pictures, words])


@lru_cache(maxsize=1)
def make_head() -> str:
    """Scripts of our own: links in answers move the viewer, Enter asks, files are dropped anywhere, lectures turn their
    pages by keys; the page never reports anywhere."""
    names = ("app.js", "drop.js", "teach.js")
    scripts = [Path(__file__).with_name(name).read_text(encoding="utf-8") for name in names]
    words = json.dumps({**texts.DROP, "here": texts.DROP_HERE, "close": texts.DROP_CLOSE}).replace(
        "<", "\\u003c"
    )
    return f"<script>window.omnivmedWords = {words};</script>" + "".join(
        f"<script>{s}</script>" for s in scripts
    )
