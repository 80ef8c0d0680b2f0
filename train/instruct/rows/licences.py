"""Under which terms each source may be used, as its own card or its users say; no advice, and no substitute for reading
them. What a built set contains, its card must repeat."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Licence:
    """name: as the source gives it. may_share: whether rows with pictures may be passed on under it, as far as it is
    known; note: what a user of the built set must be told."""

    name: str
    may_share: bool
    note: str = ""


UNKNOWN = Licence("not known", False, "Nothing is known about its terms: read them before you use it.")

LICENCES = {
    "VQA-RAD": Licence("CC0 1.0", True, "Built from MedPix."),
    "SLAKE": Licence("CC BY 4.0", True),
    "PathVQA": Licence("MIT (card)", False, "The card does not cover the pictures: they are of textbook publishers."),
    "PubMedVision": Licence("Apache-2.0", True, "Pictures from open-access articles, each with its own licence."),
    "MIMIC-CXR": Licence("PhysioNet Credentialed", False, "Neither rows nor pictures may be passed on."),
    "M3D-VQA": Licence(
        "Apache-2.0 (card)", False, "Users report that the source's terms forbid data sets for AI (M3D issue 50)."
    ),
    "M3D-Cap": Licence(
        "Apache-2.0 (card)", False, "Users report that the source's terms forbid data sets for AI (M3D issue 50)."
    ),
    "M3D-Seg": Licence("of each of its sets", False, "Made of public segmentation sets, each with its own terms."),
    "Cholec80-VQA": Licence("CC BY-NC-SA 4.0 (Cholec80)", False, "Non-commercial; what is made of it under the same."),
    "EndoVis18-VQA": Licence("not found", False, "Porcine tissue, not patients; registration at the challenge."),
    "PSI-AVA-VQA": Licence("not found", False, "The code is MIT; terms of the pictures were not found."),
    "BraTS 2023": Licence("not found", False, "Registration at the challenge; terms of the pictures were not read."),
    "SynthRAD2023": Licence("not found", False, "Terms of the pictures were not read."),
    "BCI": Licence("not found", False, "Terms of the pictures were not read."),
}  # fmt: skip


def licence_of(source: str) -> Licence:
    """The terms of a source, `UNKNOWN` for one that is not listed."""
    return LICENCES.get(source, UNKNOWN)
