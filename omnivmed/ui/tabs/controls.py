"""The components of the page that handlers read and change, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class Page:
    """The components that handlers change."""

    status: Any = None
    notes: Any = None
    viewer: Any = None
    samples: tuple[Any, ...] = ()
    upload: Any = None
    series: Any = None
    confirm: Any = None
    model: Any = None
    timer: Any = None
    chat: Any = None
    question: Any = None
    ask: Any = None
    stop: Any = None
    fresh: Any = None
    suggestions: tuple[Any, ...] = ()
    threshold: Any = None
    reference: Any = None
    max_frames: Any = None
    max_new_tokens: Any = None
    remember: Any = None
    saw: Any = None
    compare_question: Any = None
    save_json: Any = None
    save_chat: Any = None
    make_clip: Any = None
    save_overlay: Any = None
