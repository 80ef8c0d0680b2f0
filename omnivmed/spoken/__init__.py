"""What a model may say of a study: the attributes sentences name, and those a card holds back."""

from omnivmed.spoken.attributes import ATTRIBUTES, PATTERNS, named
from omnivmed.spoken.withhold import Withhold, withheld

__all__ = ["ATTRIBUTES", "PATTERNS", "Withhold", "named", "withheld"]
