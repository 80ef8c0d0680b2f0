"""The training encoder is the product's encoder; healing, words and export fold as claimed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from omnivmed.model.config import nano_vision_config
from omnivmed.model.encoder import OmniVMedVisionModel
from omnivmed.vision import patchify
from train.nano.data.views import to_pixels
from train.nano.export import tensors
from train.nano.fit.distillation import distill_loss
from train.nano.parts.vit import Vit, merge2
from train.nano.parts.words import Projector


def test_same_features_as_the_product_encoder() -> None:
    torch.manual_seed(0)
    ours = Vit(layers=12).eval()
    theirs = OmniVMedVisionModel(nano_vision_config())
    theirs.train(False)
    theirs.load_state_dict(ours.state_dict())
    frame = np.random.default_rng(0).integers(0, 256, (112, 168, 3)).astype(np.uint8)
    patches, grid = patchify(frame[None], 2)
    with torch.no_grad():
        stock = theirs(
            torch.from_numpy(patches), grid_thw=torch.tensor([grid]), merge_sizes=torch.tensor([2])
        )
        mine = merge2(ours(to_pixels(frame)[None])[0], 8, 12)
    torch.testing.assert_close(mine[0], stock.last_hidden_state.reshape(24, 384), atol=2e-5, rtol=0)


def test_healing_loss_falls_to_zero_for_equal_networks() -> None:
    torch.manual_seed(0)
    teacher = Vit(layers=8, mlp=16).eval()
    student = Vit(layers=8, mlp=16)
    pixels = torch.rand(2, 3, 56, 56) * 2 - 1
    assert float(distill_loss(student, teacher, pixels).detach()) > 0.1
    student.load_state_dict(teacher.state_dict())
    assert abs(float(distill_loss(student, teacher, pixels).detach())) < 1e-2


def test_standardisation_folds_into_the_first_linear() -> None:
    torch.manual_seed(0)
    projector = Projector(8, 6)
    projector.mean.normal_()
    projector.std.uniform_(0.5, 2)
    features = torch.randn(5, 8)
    p = projector.folded()
    hidden = torch.nn.functional.gelu(features @ p["readout.0.weight"].T + p["readout.0.bias"])
    torch.testing.assert_close(hidden @ p["readout.2.weight"].T + p["readout.2.bias"], projector(features))


def test_exported_names_are_the_products(tmp_path: Path) -> None:
    lora = {"lora.model.layers.0.self_attn.q_proj.lora_A": torch.zeros(2, 4)}
    state = {f"projector.{k}": v for k, v in Projector().state_dict().items()} | lora
    encoder, adapter = tensors(state, Vit(layers=1, mlp=16))
    assert "model.vision_model.encoder.layers.0.self_attn.q_proj.weight" in encoder
    assert "model.projector.readout.2.bias" in encoder
    assert list(adapter) == ["layers.0.self_attn.q_proj.lora_A"]
