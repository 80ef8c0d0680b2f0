"""What comes out of drawing. A picture exists here as the stamped PNG and in no other form.

The pipeline hands its array to `stamp` and lets go of it: neither object below has a field, a property or a method
that gives the pixels as they were before `omnivmed.provenance` marked them. Page, API and command line get these
objects only, so nothing unmarked can leave through them.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnivmed import provenance
from omnivmed.provenance import Origin


@dataclass(frozen=True)
class GeneratedImage:
    """A picture that a model drew, or changed. Synthetic: no patient, not for diagnosis.

    png: the stamped file, byte for byte as it is shown and saved. origin: what made it, as the file says it.
    text: what the model wrote along with it ("" without). source_sha256: of the pixels it began as, None for a picture
    drawn from words alone; it stays in this object and is not in the file, where it would be a fingerprint.
    """

    png: bytes
    origin: Origin
    text: str = ""
    source_sha256: str | None = None

    @property
    def prompt(self) -> str:
        """The words it was drawn from."""
        return self.origin.prompt

    @property
    def seed(self) -> int:
        """The seed that was used; the same prompt, settings and seed draw the same picture again."""
        return int(self.origin.seed or 0)

    @property
    def params(self) -> Mapping[str, Any]:
        """Steps, guidance and the rest, as they were used."""
        return self.origin.parameters

    @property
    def model_id(self) -> str:
        """Which model drew it."""
        return self.origin.model

    @property
    def provenance(self) -> dict[str, Any]:
        """What the file's text chunk says, as JSON values."""
        told: dict[str, Any] = json.loads(json.dumps(asdict(self.origin)))
        return told

    @property
    def image(self) -> NDArray[np.uint8]:
        """uint8 (H, W, 3): the stamped picture, enlarged, with its band."""
        from PIL import Image

        with Image.open(io.BytesIO(self.png)) as picture:
            return np.asarray(picture.convert("RGB"))

    def save(self, path: str | Path) -> Path:
        """Write the file as it is; its name must end in .png. Raises ValueError, OSError."""
        path = Path(path)
        if path.suffix.lower() != ".png":
            raise ValueError(
                "A drawn picture is saved as .png: other formats would lose what says that it is drawn."
            )
        path.write_bytes(self.png)
        return path

    def __repr__(self) -> str:
        return f"<GeneratedImage {self.prompt!r} seed={self.seed} by {self.model_id}>"


@dataclass(frozen=True)
class CounterfactualResult:
    """A picture that was changed as told, and what is different.

    image: the changed picture. before: uint8 (h, w, 3), the given one as the model saw it, on the same grid.
    difference_map: float32 (h, w), mean absolute change of a pixel, 0 to 1 of the grey scale. explanation: what was
    changed, in words. no_change: the picture came back as it was, which is said instead of shown.
    """

    image: GeneratedImage
    before: NDArray[np.uint8]
    difference_map: NDArray[np.float32]
    explanation: str
    no_change: bool


def stamp(
    picture_HW3: np.ndarray,
    *,
    prompt: str,
    seed: int,
    model_id: str,
    params: Mapping[str, Any],
    edited: bool = False,
    text: str = "",
    source_sha256: str | None = None,
) -> GeneratedImage:
    """The one way from pixels to a `GeneratedImage`: uint8 (H, W, 3), marked, encoded, forgotten.

    edited: it began as a given picture (IPTC compositeWithTrainedAlgorithmicMedia). The file notes the size at which
    it was drawn and how many times it was enlarged. Raises ValueError for another type or shape.
    """
    height, width = picture_HW3.shape[:2]
    drawn = {"drawn_pixels": [height, width], "enlarged": provenance.enlargement(width)}
    origin = Origin(
        model=model_id,
        edited=edited,
        prompt=prompt,
        seed=seed,
        made_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        parameters={**params, **drawn},
    )
    return GeneratedImage(provenance.png_bytes(picture_HW3, origin), origin, text, source_sha256)


def preview(picture_HW3: np.ndarray, model_id: str, *, edited: bool = False) -> bytes:
    """A stamped JPEG of a picture that is not finished, for whoever watches."""
    return provenance.preview_bytes(picture_HW3, Origin(model=model_id, edited=edited))
