"""The field a file is dropped on, the same on every page."""

from __future__ import annotations

from omnivmed.ui import texts
from omnivmed.ui.upstream import UnopenedFile


def study_upload(elem_id: str) -> UnopenedFile:
    """Takes one file or several; what comes in is a path, or a list of them, that only `take_in` may touch."""
    return UnopenedFile(
        label=texts.UPLOAD,
        file_count="multiple",
        show_label=False,
        elem_id=elem_id,
        elem_classes=["ov-upload"],
        height=64,
    )
