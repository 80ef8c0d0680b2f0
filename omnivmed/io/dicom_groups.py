"""One accessor for frame i of a DICOM file: its own functional group, then the shared one, then the top level.

PS3.3 C.7.6.16.1.1 and .2: a macro stands either in the shared or in each per-frame item; many writers leave values at
the top level. `FrameHeader` answers like a data set, so that a still, a loop, a stack and a stack without places read
spacing, place, scale, window and time by the same functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset

from omnivmed.io.dicom import item, value

# Attribute → the macros that hold it (PS3.3 C.7.6.16.2 and the modality chapters of C.8).
_MACROS: dict[str, tuple[str, ...]] = {
    "PixelSpacing": ("PixelMeasuresSequence",),
    "SliceThickness": ("PixelMeasuresSequence",),
    "SpacingBetweenSlices": ("PixelMeasuresSequence",),
    "ImagePositionPatient": ("PlanePositionSequence",),
    "ImageOrientationPatient": ("PlaneOrientationSequence",),
    "WindowCenter": ("FrameVOILUTSequence",),
    "WindowWidth": ("FrameVOILUTSequence",),
    "VOILUTFunction": ("FrameVOILUTSequence",),
    "RescaleSlope": ("PixelValueTransformationSequence",),
    "RescaleIntercept": ("PixelValueTransformationSequence",),
    "RescaleType": ("PixelValueTransformationSequence",),
    "ImagerPixelSpacing": ("FramePixelDataPropertiesSequence",),
    "ObjectPixelSpacingInCenterOfBeam": ("XRayObjectThicknessSequence", "ProjectionPixelCalibrationSequence"),
    "FrameType": (
        "MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence", "XRay3DFrameTypeSequence",
        "XAXRFFrameCharacteristicsSequence",
    ),
    "ComplexImageComponent": ("MRImageFrameTypeSequence",),
    "EffectiveEchoTime": ("MREchoSequence",),
    "DiffusionBValue": ("MRDiffusionSequence",),
    "DiffusionDirectionality": ("MRDiffusionSequence",),
    "InversionTimes": ("MRModifierSequence",),
    "FlipAngle": ("MRTimingAndRelatedParametersSequence",),
    "ConvolutionKernel": ("CTReconstructionSequence",),
    "KVP": ("CTXRayDetailsSequence",),
    "NominalPercentageOfCardiacPhase": ("CardiacSynchronizationSequence",),
    "NominalCardiacTriggerDelayTime": ("CardiacSynchronizationSequence",),
    "ReferencedSegmentNumber": ("SegmentIdentificationSequence",),
    "TemporalPositionTimeOffset": ("TemporalPositionSequence",),
    "StackID": ("FrameContentSequence",),
    "InStackPositionNumber": ("FrameContentSequence",),
    "TemporalPositionIndex": ("FrameContentSequence",),
    "FrameAcquisitionNumber": ("FrameContentSequence",),
    "FrameReferenceDateTime": ("FrameContentSequence",),
    "FrameAcquisitionDateTime": ("FrameContentSequence",),
    "DimensionIndexValues": ("FrameContentSequence",),
    "ColumnPositionInTotalImagePixelMatrix": ("PlanePositionSlideSequence",),
    "RowPositionInTotalImagePixelMatrix": ("PlanePositionSlideSequence",),
}  # fmt: skip
_MACRO_ITSELF = frozenset(name for names in _MACROS.values() for name in names)
# NM keeps one number per frame and dimension instead (PS3.3 C.8.4.8).
NM_VECTORS = (
    "EnergyWindowVector", "DetectorVector", "PhaseVector", "RotationVector", "RRIntervalVector", "TimeSlotVector",
    "TimeSliceVector",
)  # fmt: skip


@dataclass(frozen=True)
class FrameHeader:
    """The header as frame `index` sees it. Reads like a data set: `get`, `in`."""

    whole: Dataset
    index: int = 0
    own: Dataset | None = None
    shared: Dataset | None = None

    def get(self, keyword: str, default: Any = None) -> Any:
        """The value of this frame, or the default. A macro's own name gives its sequence."""
        for group in (self.own, self.shared):
            if group is None:
                continue
            if keyword in _MACRO_ITSELF and keyword in group:
                return group.get(keyword)
            for macro in _MACROS.get(keyword, ()):
                found = item(group, macro)
                if found is not None and keyword in found:
                    return found.get(keyword)
        return value(self.whole, keyword, default)

    def __contains__(self, keyword: str) -> bool:
        return self.get(keyword) is not None


def frame_headers(dataset: Dataset, count: int) -> list[FrameHeader]:
    """One header per frame, in stored order. Frames behind the last own group have the shared one and the top level."""
    shared = item(dataset, "SharedFunctionalGroupsSequence")
    per_frame = value(dataset, "PerFrameFunctionalGroupsSequence")
    own = list(per_frame) if per_frame is not None else []
    return [FrameHeader(dataset, i, own[i] if i < len(own) else None, shared) for i in range(count)]


def vector_entry(dataset: Dataset, keyword: str, index: int) -> float | None:
    """Entry of an NM frame vector, or None."""
    found = value(dataset, keyword)
    try:
        return None if found is None or isinstance(found, str) else float(found[index])
    except (TypeError, ValueError, IndexError):
        return None
