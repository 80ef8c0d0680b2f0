"""Published parameter counts, counted on the meta device."""

from __future__ import annotations

import pytest
import torch

from omnivmed.model.config import OmniVMedConfig, nano_config, qwen2_5_config
from omnivmed.model.modeling import OmniVMedForConditionalGeneration


def count(config: OmniVMedConfig) -> tuple[int, int, int]:
    """Parameters of the whole model, the encoder and the projector; a tied head counts once."""
    with torch.device("meta"):
        model = OmniVMedForConditionalGeneration(config)
    model.tie_weights()
    parts = (model, model.model.vision_model, model.model.projector)
    whole, encoder, projector = (sum(p.numel() for p in part.parameters()) for part in parts)
    return whole, encoder, projector


@pytest.mark.parametrize(
    ("size", "whole", "projector"), [("1.5b", 1_959_993_584, 4_131_840), ("7b", 8_044_744_944, 16_980_992)]
)
def test_paper_sizes(size: str, whole: int, projector: int) -> None:
    config = qwen2_5_config(size)  # type: ignore[arg-type]
    assert count(config) == (whole, 412_147_440, projector)
    assert (config.image_merge_size, config.video_merge_size) == (1, 2)


def test_nano() -> None:
    config = nano_config()
    assert count(config) == (156_589_632, 21_520_512, 554_112)
    assert (config.image_merge_size, config.video_merge_size) == (2, 2)


def test_unknown_size() -> None:
    with pytest.raises(ValueError, match='"3b"'):
        qwen2_5_config("3b")  # type: ignore[arg-type]
