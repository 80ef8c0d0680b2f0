"""KeepMask + Study → pictures that can be taken away: one frame, a contact sheet, a clip, JSON, arrays."""

from omnivmed.viz.export import FORMATS, write_overlay
from omnivmed.viz.overlay import MODES, Mode, legend, overlay
from omnivmed.viz.sheet import contact_sheet, kept_strip

__all__ = ["FORMATS", "MODES", "Mode", "contact_sheet", "kept_strip", "legend", "overlay", "write_overlay"]
