"""What a browser shows before the framework's script has come: name, badge and the first study's picture."""

from __future__ import annotations

import base64
from functools import lru_cache
from html import escape
from pathlib import Path

from omnivmed.ui import texts


@lru_cache(maxsize=4)
def shell(picture: bytes | None) -> bytes:
    """Markup for the beginning of the page's body; `picture`: a JPEG, or None where there is none yet."""
    here = Path(__file__)
    style = here.with_suffix(".css").read_text(encoding="utf-8")
    script = here.with_suffix(".js").read_text(encoding="utf-8")
    first = ""
    if picture is not None:
        data = base64.b64encode(picture).decode()
        first = f':root {{ --ov-first: url("data:image/jpeg;base64,{data}"); }}'
    return (
        f"<style>{style}{first}</style>"
        f'<div id="ov-boot"><header><h1>{escape(texts.TITLE)}</h1><span>{escape(texts.NOT_CLINICAL)}</span></header>'
        f'<p role="status">{escape(texts.BOOTING)}</p><i></i></div><script>{script}</script>'
    ).encode()
