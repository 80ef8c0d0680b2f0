"""The studies that ship with the app; where they come from stands in assets/SOURCES.md."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from omnivmed.resources import samples_dir
from omnivmed.ui import texts


@dataclass(frozen=True)
class Sample:
    """One ready study: `name` on its button, `file` in assets/samples."""

    key: str
    name: str
    file: str
    synthetic: bool = False

    @property
    def path(self) -> Path:
        """Where the study is on disk."""
        return samples_dir() / self.file

    @property
    def thumbnail(self) -> Path:
        """Where its 128-pixel picture is."""
        return samples_dir() / "thumbs" / f"{self.key}.jpg"


SAMPLES: tuple[Sample, ...] = (
    Sample("chest_xray", texts.SAMPLE_NAMES["chest_xray"], "chest_xray.dcm"),
    Sample("ct_abdomen", texts.SAMPLE_NAMES["ct_abdomen"], "ct_abdomen.nii.gz"),
    Sample("mr_head", texts.SAMPLE_NAMES["mr_head"], "mr_head.nii.gz"),
    Sample("echo_cine", texts.SAMPLE_NAMES["echo_cine"], "echo_cine.dcm"),
    Sample(
        "endoscopy_phantom",
        texts.SAMPLE_NAMES["endoscopy_phantom"],
        "endoscopy_phantom.mp4",
        synthetic=True,
    ),
)


def find_sample(key: str) -> Sample:
    """The sample of this key; KeyError otherwise."""
    for sample in SAMPLES:
        if sample.key == key:
            return sample
    raise KeyError(key)


FIRST = find_sample("ct_abdomen")  # a volume: pruning shows at once, and its threshold has a meaning in HU


@lru_cache(maxsize=16)
def thumbnail_uri(key: str) -> str:
    """The button's picture as a data address, so that the page needs no further request for it."""
    data = find_sample(key).thumbnail.read_bytes()
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()
