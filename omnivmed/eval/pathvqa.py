"""PathVQA, the hub copy: one folder per split with `metadata.jsonl` (file_name, question, answer).

Closed = yes/no answers. 19.7k train, 6.26k validation, 6.72k test.
"""

from __future__ import annotations

from pathlib import Path

from omnivmed.eval.files import need
from omnivmed.eval.protocol import LLAVA_MED, RULE_ONLY
from omnivmed.eval.vqa_rad import read_image_folder
from omnivmed.records import Reading

PROTOCOLS = (LLAVA_MED, RULE_ONLY)
SPLITS = ("train", "validation", "test")


def read(root: Path, split: str) -> Reading:
    """The questions of one split. Raises LayoutError when files are missing, ValueError for an unknown split."""
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}; choose from {SPLITS}")
    folder = need(root / split, "save the hub copy as one folder per split")
    # Pictures of pathology books: nearly all through a microscope, some of whole organs; the set does not say which.
    note = "hub copy: closed = yes/no answers"
    return read_image_folder(folder, f"pathvqa/{split}", note, "PathVQA", "microscopy")
