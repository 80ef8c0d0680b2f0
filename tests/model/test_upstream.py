"""What we rely on of every part borrowed from transformers' inner modules, and the error when one is missing."""

from __future__ import annotations

import functools
import importlib.metadata as metadata
import inspect
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from omnivmed.errors import ModelError
from omnivmed.model import upstream
from omnivmed.model.outputs import OmniVMedModelOutput, OmniVMedOutput
from tests.model.tiny import tiny_model, tiny_vision


def _arguments(function: Callable[..., Any]) -> set[str]:
    return set(inspect.signature(function).parameters)


def _layer_input() -> torch.Tensor:
    return torch.linspace(-1, 1, 4 * 48).reshape(4, 48)


def _all_attention_functions() -> None:
    """A registered function is found by name, "eager" gives the default."""
    interface = upstream.ALL_ATTENTION_FUNCTIONS
    assert (
        interface.get_interface("eager", upstream.eager_attention_forward) is upstream.eager_attention_forward
    )
    assert callable(interface.get_interface("sdpa", upstream.eager_attention_forward))
    assert callable(interface.register)


def _base_model_output_with_pooling() -> None:
    """Any object goes into `pooler_output`: there it is a tuple, one tensor per study."""
    given: Any = (torch.ones(2),)
    assert upstream.BaseModelOutputWithPooling(pooler_output=given).pooler_output is given


def _cache() -> None:
    assert issubclass(upstream.DynamicCache, upstream.Cache)


def _dynamic_cache() -> None:
    """Layers that hold keys and values `(1, heads, positions, head size)`, as the reference decoder cuts them."""
    cache = upstream.DynamicCache()
    keys = torch.zeros(1, 2, 3, 4)
    cache.update(keys, keys, 0)
    assert cache.get_seq_length() == 3
    cache.crop(-1)  # positions to drop
    assert getattr(cache.layers[0], "keys").shape == (1, 2, 2, 4)  # noqa: B009  (one kind of layer has none)


def _generation_mixin() -> None:
    assert upstream.cache_name(upstream.GenerationMixin.prepare_inputs_for_generation) == upstream.CACHE
    assert upstream.CACHE in _arguments(tiny_model("llama").model.language_model.forward)


def _gradient_checkpointing_layer() -> None:
    """`activation_checkpointing_enable` makes such a layer recompute: forward runs twice."""

    class Layer(upstream.GradientCheckpointingLayer):
        runs = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.runs += 1
            return x.sin()

    layer = Layer().train()
    layer.gradient_checkpointing = True
    again: Any = functools.partial(checkpoint, use_reentrant=False)
    layer._gradient_checkpointing_func = again
    layer(torch.ones(2, requires_grad=True)).sum().backward()
    assert layer.runs == 2


def _model_output() -> None:
    """Fields that are None are no keys; a tuple holds the others in the order of the fields."""

    @dataclass
    class Output(upstream.ModelOutput):
        first: torch.Tensor | None = None
        second: torch.Tensor | None = None

    assert list(Output(second=torch.ones(1))) == ["second"]
    assert Output(first=torch.ones(1), second=torch.ones(2)).to_tuple()[1].shape == (2,)


def _video_llama3_config() -> None:
    fields = {"text_config", "vision_config", "image_token_id", "video_token_id", "tie_word_embeddings"}
    assert fields <= _arguments(upstream.VideoLlama3Config)


def _video_llama3_vision_config() -> None:
    assert tiny_vision().rope_parameters == {"rope_type": "axial", "rope_theta": 10000.0}


def _video_llama3_for_conditional_generation() -> None:
    assert issubclass(upstream.VideoLlama3ForConditionalGeneration, upstream.GenerationMixin)
    config = tiny_model("llama").config
    assert upstream.part_of(upstream.VideoLlama3ForConditionalGeneration, config).config is config


def _video_llama3_model() -> None:
    """`get_image_features` calls `vision_model` and `projector` by these names and splits by study."""
    model = tiny_model("llama").model
    pixels = torch.zeros(16, 588)
    grid, merge = torch.tensor([[1, 2, 4], [1, 2, 4]]), torch.tensor([1, 2])
    rows = model.get_image_features(pixels, grid, merge).pooler_output
    assert [len(part) for part in rows] == [8, 2]


def _video_llama3_pretrained_model() -> None:
    assert _arguments(upstream.VideoLlama3PreTrainedModel.__init__) >= {"config"}
    assert callable(upstream.VideoLlama3PreTrainedModel.post_init)


def _video_llama3_projector() -> None:
    """Linear, exact GELU, Linear: parameters `readout.0` and `readout.2`."""
    projector = upstream.VideoLlama3Projector(tiny_model("llama").config)
    names = [name for name, _ in projector.named_parameters()]
    assert names == ["readout.0.weight", "readout.0.bias", "readout.2.weight", "readout.2.bias"]
    x = _layer_input()
    first, second = projector.readout[0], projector.readout[2]
    assert torch.equal(projector(x), second(nn.functional.gelu(first(x))))


def _video_llama3_vision_attention() -> None:
    attention = upstream.VideoLlama3VisionAttention(tiny_vision())
    names = {name for name, _ in attention.named_children()}
    assert names == {"q_proj", "k_proj", "v_proj", "out_proj"}
    assert (attention.num_heads, attention.head_dim, attention.scaling) == (2, 24, 24**-0.5)
    assert attention.attention_dropout == 0.0


def _video_llama3_vision_embeddings() -> None:
    """A 14 x 14 convolution with stride 14, which is one matmul over channel-first patch rows."""
    convolution = upstream.VideoLlama3VisionEmbeddings(tiny_vision()).patch_embedding
    assert convolution.weight.shape == (48, 3, 14, 14)
    assert convolution.bias is not None


def _video_llama3_vision_mlp() -> None:
    mlp = upstream.VideoLlama3VisionMLP(tiny_vision())
    x = _layer_input()
    assert torch.equal(mlp(x), mlp.fc2(nn.functional.gelu(mlp.fc1(x), approximate="tanh")))


def _video_llama3_vision_model() -> None:
    assert issubclass(upstream.VideoLlama3VisionModel, upstream.VideoLlama3PreTrainedModel)
    assert upstream.VideoLlama3VisionModel.config_class is upstream.VideoLlama3VisionConfig


def _video_llama3_vision_rotary_embedding() -> None:
    """No parameter, and nothing of it in a checkpoint: the tables are computed."""
    rotary = upstream.VideoLlama3VisionRotaryEmbedding(tiny_vision())
    assert rotary.state_dict() == {}
    assert list(rotary.parameters()) == []


def _can_return_tuple() -> None:
    class Model:
        config = tiny_vision()

        @upstream.can_return_tuple
        def forward(self, **kwargs: Any) -> Any:
            return OmniVMedModelOutput(last_hidden_state=torch.ones(1))

    assert isinstance(Model().forward(), OmniVMedModelOutput)
    assert isinstance(Model().forward(return_dict=False), tuple)


def _eager_attention_forward() -> None:
    """Softmax(q k scaling) v for a module without grouped heads, positions before heads in the result."""
    attention = upstream.VideoLlama3VisionAttention(tiny_vision())
    q, k, v = torch.linspace(-1, 1, 3 * 2 * 4 * 24).reshape(3, 1, 2, 4, 24)
    out, _ = upstream.eager_attention_forward(
        attention, q, k, v, attention_mask=None, scaling=0.5, is_causal=False
    )
    expected = torch.softmax(q @ k.transpose(-1, -2) * 0.5, -1) @ v
    assert torch.allclose(out, expected.transpose(1, 2), atol=1e-6)


def _is_flash_attn_2_available() -> None:
    assert upstream.is_flash_attn_2_available() in (True, False)


OURS = {"CACHE", "TESTED", "cache_name", "part_of"}
RELIED_ON = {
    "ALL_ATTENTION_FUNCTIONS": _all_attention_functions,
    "BaseModelOutputWithPooling": _base_model_output_with_pooling,
    "Cache": _cache,
    "DynamicCache": _dynamic_cache,
    "GenerationMixin": _generation_mixin,
    "GradientCheckpointingLayer": _gradient_checkpointing_layer,
    "ModelOutput": _model_output,
    "VideoLlama3Config": _video_llama3_config,
    "VideoLlama3ForConditionalGeneration": _video_llama3_for_conditional_generation,
    "VideoLlama3Model": _video_llama3_model,
    "VideoLlama3PreTrainedModel": _video_llama3_pretrained_model,
    "VideoLlama3Projector": _video_llama3_projector,
    "VideoLlama3VisionAttention": _video_llama3_vision_attention,
    "VideoLlama3VisionConfig": _video_llama3_vision_config,
    "VideoLlama3VisionEmbeddings": _video_llama3_vision_embeddings,
    "VideoLlama3VisionMLP": _video_llama3_vision_mlp,
    "VideoLlama3VisionModel": _video_llama3_vision_model,
    "VideoLlama3VisionRotaryEmbedding": _video_llama3_vision_rotary_embedding,
    "can_return_tuple": _can_return_tuple,
    "eager_attention_forward": _eager_attention_forward,
    "is_flash_attn_2_available": _is_flash_attn_2_available,
}


def test_every_borrowed_name_has_a_test() -> None:
    assert set(RELIED_ON) == set(upstream.__all__) - OURS


@pytest.mark.parametrize("name", RELIED_ON)
def test_what_we_rely_on(name: str) -> None:
    RELIED_ON[name]()


def test_the_cache_has_one_of_two_names() -> None:
    def new(cache: Any = None) -> None: ...
    def old(past_key_values: Any = None) -> None: ...
    def unknown(memory: Any = None) -> None: ...

    assert upstream.cache_name(new) == "cache"
    assert upstream.cache_name(old) == "past_key_values"
    with pytest.raises(ModelError, match=r"new name.*Known to work: 5\.23\.0 and 5\.24\.0"):
        upstream.cache_name(unknown)


@pytest.mark.parametrize("output", [OmniVMedModelOutput, OmniVMedOutput])
def test_outputs_answer_to_both_names_of_the_cache(output: type) -> None:
    cache = upstream.DynamicCache()
    filled, empty = output(cache=cache), output()
    assert filled.cache is filled.past_key_values is filled["cache"] is filled["past_key_values"] is cache
    assert "past_key_values" in filled
    assert list(filled) == ["cache"]
    assert empty.past_key_values is None
    assert "past_key_values" not in empty


def test_forward_takes_the_cache_under_both_names() -> None:
    model = tiny_model("llama")
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        whole = model(input_ids=ids).logits[:, -1]
        for name in ("cache", "past_key_values"):
            before = model(input_ids=ids[:, :3], use_cache=True)
            after = model(input_ids=ids[:, 3:], use_cache=True, **{name: before.cache})
            assert torch.allclose(after.logits[:, -1], whole, atol=1e-5)
        with pytest.raises(ValueError, match="once"):
            model(input_ids=ids[:, 3:], cache=before.cache, past_key_values=before.cache)


@pytest.mark.parametrize(
    "settings", [{}, {"num_beams": 2}, {"do_sample": True, "return_dict_in_generate": True}]
)
def test_generate_goes_on_from_a_cache(settings: dict[str, Any]) -> None:
    """Greedy, beams, sampling: one position per step after the first, so the cache came back to the model."""
    model = tiny_model("qwen2")
    lengths: list[int] = []
    hook = model.model.language_model.register_forward_pre_hook(
        lambda _, __, given: lengths.append(given["inputs_embeds"].shape[1]), with_kwargs=True
    )
    model.generate(input_ids=torch.tensor([[5, 6, 7]]), max_new_tokens=4, min_new_tokens=4, **settings)
    hook.remove()
    assert lengths == [3, 1, 1, 1]


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("transformers.models.video_llama_3.modeling_video_llama_3", "VideoLlama3Projector"),
        ("transformers.utils.generic", "ModelOutput"),
    ],
)
def test_a_transformers_of_another_shape_is_named(missing: str, said: str) -> None:
    """The part is taken out of the installed library, as a later release might do it."""
    code = (
        f"import importlib; m = importlib.import_module({missing!r}); del m.{said}\n"
        "from omnivmed.errors import ModelError\n"
        "try:\n    import omnivmed.model.modeling\n"
        "except ModelError as error:\n    print(error.code, error.message)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = metadata.version("transformers")
    assert done.stdout.startswith(f"Unsupported The installed transformers {found} is of another shape")
    for part in (said, *upstream.TESTED, "pip install"):
        assert part in done.stdout
