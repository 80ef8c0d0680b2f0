"""Small facts that every reader needs: content id, allow-listed words, numbers of doubtful text."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnivmed.study_info import StudyInfo

MAX_SCALE = 1e15  # larger factors are damage: file units stay far inside float32
# Modality (0008,0060) values that may leave the worker: DICOM defined terms for things with pixels.
MODALITIES = frozenset(
    {
        "CT",
        "MR",
        "CR",
        "DX",
        "US",
        "PT",
        "NM",
        "XA",
        "RF",
        "MG",
        "ES",
        "GM",
        "SM",
        "XC",
        "OP",
        "OPT",
        "OCT",
        "IO",
    }
    | {
        "PX",
        "IVUS",
        "IVOCT",
        "DG",
        "RG",
        "BMD",
        "SC",
        "OT",
        "SEG",
        "RTDOSE",
        "RTIMAGE",
        "HC",
        "TG",
        "LS",
        "BDUS",
    }
)
# Body parts (0018,0015) that may leave the worker. Anything else in that field is free text and stays inside.
BODY_PARTS = frozenset(
    {
        "ABDOMEN",
        "ABDOMENPELVIS",
        "ANKLE",
        "ARM",
        "BRAIN",
        "BREAST",
        "CHEST",
        "CHESTABDOMEN",
        "CSPINE",
        "ELBOW",
        "EYE",
    }
    | {
        "EXTREMITY",
        "FEMUR",
        "FOOT",
        "HAND",
        "HEAD",
        "HEADNECK",
        "HEART",
        "HIP",
        "JAW",
        "KIDNEY",
        "KNEE",
        "LEG",
    }
    | {
        "LIVER",
        "LSPINE",
        "LUNG",
        "NECK",
        "PANCREAS",
        "PELVIS",
        "PROSTATE",
        "SHOULDER",
        "SINUS",
        "SKULL",
        "SPINE",
    }
    | {"SSPINE", "STOMACH", "THIGH", "THORAX", "THYROID", "TSPINE", "UTERUS", "WHOLEBODY", "WRIST"}
)


def allowed_modality(value: Any) -> str | None:
    """The modality when it is a defined term."""
    word = str(value or "").strip().upper()
    return word if word in MODALITIES else None


def allowed_body_part(value: Any) -> str | None:
    """The body part when it is one of the common terms; letters only ('CHEST_ABDOMEN' counts as CHESTABDOMEN)."""
    word = "".join(c for c in str(value or "").upper() if c.isascii() and c.isalpha())
    return word if word in BODY_PARTS else None


def finite(value: Any, default: float | None = None) -> float | None:
    """A finite number, or the default for anything else ('', None, 'nan', text)."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return default
    return number if math.isfinite(number) else default


def scale(slope: float | None, intercept: float | None) -> tuple[float, float] | None:
    """(slope, intercept) when both are usable numbers and the slope is not zero, else None."""
    if slope is None or intercept is None or slope == 0.0 or max(abs(slope), abs(intercept)) > MAX_SCALE:
        return None
    return slope, intercept


def stored_facts(info: StudyInfo, array: NDArray[Any], *more: object) -> StudyInfo:
    """Info with its content id: sha256 over the stored numbers and what gives them meaning."""
    digest = hashlib.sha256()
    meaning = (info.kind, info.slope, info.intercept, info.spacing_mm, info.plane, *more)
    digest.update(f"{array.shape}|{array.dtype.str}|{meaning}".encode())
    if info.times_s is not None:
        digest.update(np.ascontiguousarray(info.times_s).data)
    digest.update(np.ascontiguousarray(array).data)
    return replace(info, content_id=digest.hexdigest())
