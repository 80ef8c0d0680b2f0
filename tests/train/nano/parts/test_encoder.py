"""The training encoder is the product's encoder; healing, words and export fold as claimed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Dinov2Model

from omnivmed.model.config import nano_vision_config
from omnivmed.model.encoder import OmniVMedVisionModel
from omnivmed.vision import patchify
from train.nano.data.views import to_pixels
from train.nano.export import tensors
from train.nano.fit.distillation import distill_loss
from train.nano.parts.encoder import merge2, patch_features, student
from train.nano.parts.teacher import build_student, teacher_config
from train.nano.parts.words import Projector


def test_same_features_as_the_product_encoder() -> None:
    torch.manual_seed(0)
    theirs = OmniVMedVisionModel(nano_vision_config())
    theirs.train(False)
    ours = student()
    ours.load_state_dict(theirs.state_dict())
    frame = np.random.default_rng(0).integers(0, 256, (112, 168, 3)).astype(np.uint8)
    patches, grid = patchify(frame[None], 2)
    with torch.no_grad():
        stock = theirs(
            torch.from_numpy(patches), grid_thw=torch.tensor([grid]), merge_sizes=torch.tensor([2])
        )
        mine = merge2(patch_features(ours, to_pixels(frame)[None])[0], 8, 12)
    torch.testing.assert_close(mine[0], stock.last_hidden_state.reshape(24, 384), atol=2e-5, rtol=0)


def test_healing_loss_falls_to_zero_for_equal_networks() -> None:
    torch.manual_seed(0)
    teacher, pupil = student(layers=8, mlp=16), student(layers=8, mlp=16)
    pixels = torch.rand(2, 3, 56, 56) * 2 - 1
    assert float(distill_loss(pupil, teacher, pixels).detach()) > 0.1
    pupil.load_state_dict(teacher.state_dict())
    assert abs(float(distill_loss(pupil, teacher, pixels).detach())) < 1e-2


def drawn_teacher() -> Dinov2Model:
    torch.manual_seed(0)
    model = Dinov2Model(teacher_config(layers=8, mlp_ratio=1))
    for name, parameter in model.named_parameters():  # norms and biases too: as they are made, all look alike
        if not name.endswith("lambda1"):
            torch.nn.init.normal_(parameter, std=0.05)
    model.train(False)
    return model


def test_student_has_its_teachers_blocks() -> None:
    """Block by block, without rotation, table and class token: only wrongly named weights could differ."""
    teacher = drawn_teacher()
    pupil = build_student(teacher, 100.0)
    pixels = torch.rand(1, 3, 28, 28) * 2 - 1
    row = pixels.view(1, 3, 2, 14, 2, 14).permute(0, 2, 4, 1, 3, 5).reshape(1, 4, 588)
    with torch.no_grad():
        x, y = pupil.embed(row), teacher.embeddings.patch_embeddings(pixels)
        torch.testing.assert_close(x, y)
        cos, sin = torch.ones(4, 64), torch.zeros(4, 64)
        for ours, theirs in zip(pupil.encoder.layers, teacher.encoder.layer, strict=True):
            x, y = ours(x, cos, sin), theirs(y)
        torch.testing.assert_close(pupil.post_layernorm(x), teacher.layernorm(y))


def test_taps_of_teacher_and_student_are_the_same_blocks() -> None:
    """Tap n is what block n gave out: the last one, normed, is the features."""
    teacher = drawn_teacher()
    pupil = build_student(teacher, 100.0)
    pixels = torch.rand(2, 3, 28, 56) * 2 - 1
    with torch.no_grad():
        for model, norm in ((teacher, teacher.layernorm), (pupil, pupil.post_layernorm)):
            features, taps = patch_features(model, pixels, taps=(4, 8))
            assert [t.shape for t in taps] == [features.shape] * 2 == [torch.Size([2, 8, 384])] * 2
            torch.testing.assert_close(norm(taps[1]), features)
            assert not torch.allclose(taps[0], taps[1])


def test_a_teacher_with_layerscale_makes_no_student() -> None:
    teacher = drawn_teacher()
    with torch.no_grad():
        teacher.get_parameter("encoder.layer.3.layer_scale2.lambda1").fill_(0.5)
    with pytest.raises(ValueError, match="layer_scale2"):
        build_student(teacher, 100.0)


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
    encoder, adapter = tensors(state, student(layers=1, mlp=16))
    assert "model.vision_model.encoder.layers.0.self_attn.q_proj.weight" in encoder
    assert "model.projector.readout.2.bias" in encoder
    assert list(adapter) == ["layers.0.self_attn.q_proj.lora_A"]
