"""The model to measure: nano where it is trained and its backbone is cached, random weights of its size otherwise.

Stock transformers gets the same tensors, not copies of them.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import VideoLlama3Config, VideoLlama3ForConditionalGeneration

from omnivmed import weights
from omnivmed.errors import ModelError
from omnivmed.model.config import OmniVMedConfig, nano_config
from omnivmed.model.load import build, merge_lora, reset_rotary
from omnivmed.model.modeling import OmniVMedForConditionalGeneration
from omnivmed.model.upstream import part_of


def nano_model(dtype: torch.dtype) -> tuple[OmniVMedForConditionalGeneration, str]:
    """Return the model and one phrase saying which weights it has."""
    try:
        return _trained(dtype), "nano, trained weights"
    except ModelError:
        torch.manual_seed(0)
        return random_model(nano_config(), dtype), "random weights of nano's size"


def random_model(config: OmniVMedConfig, dtype: torch.dtype) -> OmniVMedForConditionalGeneration:
    """A model with freshly drawn weights."""
    model = part_of(OmniVMedForConditionalGeneration, config, dtype=dtype)
    model.train(False)
    return model


def _trained(dtype: torch.dtype) -> OmniVMedForConditionalGeneration:
    from safetensors.torch import load_file

    from omnivmed.inference.loading import nano_model_config, read_nano_config
    from omnivmed.weights.names import read_config, resolve

    source = resolve("nano")
    config = read_nano_config(source)
    backbone = weights.fetch_backbone(offline=True)
    tensors = {
        f"model.language_model.{k[6:]}": v for k, v in load_file(backbone / "model.safetensors").items()
    }
    merge_lora(tensors, load_file(source.folder / "lora.safetensors"), float(config["lora"]["scale"]))
    tensors |= load_file(source.folder / "encoder_projector.safetensors")
    return build(
        nano_model_config(config, read_config(backbone)), tensors.items(), dtype, torch.device("cpu")
    )


def stock_twin(model: OmniVMedForConditionalGeneration) -> Any:
    """Stock transformers' VideoLlama3 over the very tensors of `model`."""
    config = VideoLlama3Config(
        text_config=model.config.text_config,
        vision_config=model.config.vision_config,
        image_token_id=model.config.image_token_id,
        video_token_id=model.config.video_token_id,
        tie_word_embeddings=model.config.tie_word_embeddings,
    )
    with torch.device("meta"):
        stock = VideoLlama3ForConditionalGeneration(config)
    stock.load_state_dict(model.state_dict(), assign=True)
    reset_rotary(stock, model.device)
    return stock.eval()
