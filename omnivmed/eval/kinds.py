"""Fourteen modalities and eleven tasks: the two axes on which a mixture of questions is counted.

OmniV-Med §3 counts 14 modalities and 11 tasks and shows them in a figure; its words do not list them. The
modalities here are the twelve that OmniMedVQA and PubMedVision tell apart, with nuclear imaging and surgical video.
The tasks are ours, so that every question type of the seven benchmarks has one.
"""

from __future__ import annotations

import re

MODALITIES = (
    "x-ray", "ct", "mr", "nuclear", "ultrasound", "fundus", "oct", "dermoscopy", "endoscopy", "surgical video",
    "microscopy", "photograph", "infrared", "colposcopy",
)  # fmt: skip
TASKS = (
    "acquisition",  # modality, plane, sequence, contrast phase
    "anatomy",
    "finding",  # presence, abnormality, diagnosis
    "location",
    "attribute",  # size, number, colour, shape
    "reasoning",  # what a picture alone does not say; conversations
    "description",
    "report",
    "workflow",  # phase, step, instrument, its state
    "retrieval",
    "positioning",  # a box in the volume
)

_MODALITY_NAMES = {
    "x-ray": (
        "xray",
        "radiograph",
        "radiography",
        "cr",
        "dx",
        "mammography",
        "angiography",
        "dsa",
        "fluoroscopy",
    ),
    "ct": ("computed tomography", "cta"),
    "mr": ("mri", "magnetic resonance", "magnetic resonance imaging", "mra", "fmri"),
    "nuclear": ("pet", "spect", "scintigraphy", "positron emission tomography", "pet/ct", "nuclear medicine"),
    "ultrasound": ("us", "sonography", "ultrasonography", "echocardiography", "doppler"),
    "fundus": ("fundus photography", "fundus photograph", "retinal photography"),
    "oct": ("optical coherence tomography",),
    "dermoscopy": ("dermatoscopy",),
    "endoscopy": ("colonoscopy", "gastroscopy", "bronchoscopy"),
    "surgical video": ("laparoscopy", "surgery", "robotic surgery"),
    "microscopy": ("microscopy images", "histopathology", "pathology", "histology", "cytology"),
    "photograph": ("digital photography", "photography", "clinical photography"),
    "infrared": ("infrared reflectance imaging", "infrared imaging", "thermography"),
    "colposcopy": (),
}
_MODALITY = {name: key for key, names in _MODALITY_NAMES.items() for name in (key, *names)}

_TASK_NAMES = {
    "acquisition": ("modality", "plane", "phase", "sequence", "modality recognition"),
    "anatomy": ("organ", "anatomy identification", "organ system"),
    "finding": ("pres", "prse", "abn", "abnormality", "disease diagnosis", "diagnosis", "lesion grading"),
    "location": ("pos", "position"),
    "attribute": (
        "size", "count", "color", "colour", "attrib", "atrib", "attribute", "quantity", "shape",
        "other biological attributes",
    ),
    "reasoning": ("kg", "other", "conversation"),
    "description": ("caption",),
    "workflow": ("step", "surgical phase", "tool", "action"),
}  # fmt: skip
_TASK = {name: key for key in TASKS for name in (key, *_TASK_NAMES.get(key, ()))}

# First fitting rule counts. For sets that do not say what they ask (PathVQA, the hub's VQA-RAD).
_WORDINGS = (
    ("attribute", r"\bhow (many|much|large|big|long|wide)\b|\bnumber of\b|\bsize\b|\bcolou?r\b|\bshape\b"),
    ("location", r"^where\b|\bwhich (side|lobe|region|quadrant)\b|\blocated?\b|\blocation\b"),
    (
        "acquisition",
        r"\bmodality\b|\bplane\b|\bsequence\b|\bstain\w*\b|\bweighted\b|\bimaging\b|\bcontrast\b",
    ),
    ("anatomy", r"\bwh(at|ich) (organ|structure|part|tissue)s?\b|\borgan system\b"),
    ("reasoning", r"^(why|how)\b"),
    ("finding", r"^(is|are|was|were|does|do|did|has|have|can|could|what|which)\b"),
)


def modality_of(text: object) -> str:
    """One of `MODALITIES` for a data set's own word, "" for one that is none of them."""
    return _MODALITY.get(re.sub(r"[\s_]+", " ", str(text or "")).strip().lower(), "")


def task_of(text: object) -> str:
    """One of `TASKS` for a data set's own question type, "" where there is none. "PRES, ATTRIB": the first counts."""
    for part in re.split(r"[,;/]", str(text or "").lower()):
        if found := _TASK.get(part.strip().replace("_", " ")):
            return found
    return ""


def task_by_wording(question: str) -> str:
    """One of `TASKS` guessed from the question alone, "" where no rule fits; for sets that give no question type."""
    text = question.strip().lower()
    return next((task for task, pattern in _WORDINGS if re.search(pattern, text)), "")
