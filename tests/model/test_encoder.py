"""The batched encoder against stock transformers with equal weights."""

from __future__ import annotations

import pytest
import torch
from transformers import VideoLlama3PreTrainedModel, VideoLlama3VisionModel

from omnivmed.model.config import nano_vision_config
from omnivmed.model.encoder import OmniVMedVisionModel, group_frames, merge_tokens
from tests.model.tiny import randomise, tiny_vision

GRIDS = torch.tensor([[3, 4, 6], [1, 5, 7], [2, 4, 6], [1, 6, 4], [1, 6, 9], [2, 4, 6]])
MERGES = torch.tensor([2, 1, 2, 2, 3, 1])


@pytest.fixture(scope="module")
def pair() -> tuple[OmniVMedVisionModel, VideoLlama3VisionModel]:
    ours = OmniVMedVisionModel(tiny_vision()).train(False)
    randomise(ours)
    stock = VideoLlama3VisionModel(tiny_vision()).eval()
    stock.load_state_dict(ours.state_dict(), strict=True)
    return ours, stock


def patches(grids: torch.Tensor = GRIDS) -> torch.Tensor:
    count = int(grids.prod(1).sum())
    return torch.rand(count, 588, generator=torch.Generator().manual_seed(3)) * 2 - 1


@pytest.mark.parametrize("chunk", [1, 40, 8192])
def test_equals_stock_for_mixed_shapes_and_merge_sizes(
    pair: tuple[OmniVMedVisionModel, VideoLlama3VisionModel], chunk: int
) -> None:
    ours, stock = pair
    ours.chunk_patches = chunk
    with torch.no_grad():
        got = ours(patches(), GRIDS, MERGES, output_hidden_states=True)
        expected = stock(patches(), GRIDS, MERGES, output_hidden_states=True)
    assert got.last_hidden_state.shape == expected.last_hidden_state.shape
    torch.testing.assert_close(got.last_hidden_state, expected.last_hidden_state, rtol=0, atol=1e-5)
    assert len(got.hidden_states) == len(expected.hidden_states) == 3
    for a, b in zip(got.hidden_states, expected.hidden_states, strict=True):
        assert (a - b).abs().max() <= 1e-5 * max(1.0, float(b.abs().max()))


def test_frames_do_not_see_each_other(pair: tuple[OmniVMedVisionModel, VideoLlama3VisionModel]) -> None:
    ours, _ = pair
    grid, merge = torch.tensor([[2, 4, 4]]), torch.tensor([2])
    one = patches(grid)
    other = one.clone()
    other[16:] = -other[16:]
    with torch.no_grad():
        a, b = (ours(x, grid, merge).last_hidden_state for x in (one, other))
    assert torch.equal(a[:4], b[:4])
    assert not torch.allclose(a[4:], b[4:])


def test_gradients_equal_stock_with_and_without_checkpointing(
    pair: tuple[OmniVMedVisionModel, VideoLlama3VisionModel],
) -> None:
    ours, stock = pair
    ours.chunk_patches = 40
    grids, merges = GRIDS[:4], MERGES[:4]

    def gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
        model.zero_grad()
        model.train()
        model(patches(grids), grids, merges).last_hidden_state.square().mean().backward()
        model.eval()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    expected = gradients(stock)
    plain = gradients(ours)
    ours.activation_checkpointing_enable()
    recomputed = gradients(ours)
    VideoLlama3PreTrainedModel.activation_checkpointing_disable(ours)
    assert expected.keys() == plain.keys() == recomputed.keys()
    for name, gradient in expected.items():
        assert (plain[name] - gradient).abs().max() <= 1e-5 * max(1.0, float(gradient.abs().max())), name
        assert torch.allclose(recomputed[name], plain[name], atol=1e-7), name


def test_checkpointing_recomputes_each_layer(
    pair: tuple[OmniVMedVisionModel, VideoLlama3VisionModel],
) -> None:
    ours, _ = pair
    ours.chunk_patches = 8192
    calls: list[int] = []
    mlp = ours.encoder.layers[0].mlp
    assert isinstance(mlp, torch.nn.Module)
    handle = mlp.register_forward_pre_hook(lambda *_: calls.append(1))
    grid, merge = torch.tensor([[1, 4, 4]]), torch.tensor([2])
    ours.activation_checkpointing_enable()
    ours.train()
    ours(patches(grid), grid, merge).last_hidden_state.sum().backward()
    ours.train(False)
    VideoLlama3PreTrainedModel.activation_checkpointing_disable(ours)
    handle.remove()
    assert len(calls) == 2


def test_layers_run_once_per_shape_not_per_frame(
    pair: tuple[OmniVMedVisionModel, VideoLlama3VisionModel],
) -> None:
    ours, _ = pair
    ours.chunk_patches = 8192
    calls = []
    handle = ours.encoder.layers[0].register_forward_hook(lambda *_: calls.append(1))
    grid, merge = torch.tensor([[20, 4, 4], [5, 2, 4]]), torch.tensor([2, 2])
    with torch.no_grad():
        ours(patches(grid), grid, merge)
    handle.remove()
    assert len(calls) == 2


def test_groups_and_chunks() -> None:
    groups = group_frames([[2, 4, 4], [1, 2, 2], [1, 4, 4], [1, 4, 4]], [2, 2, 2, 1])
    assert [(g.grid_h, g.merge_size, g.patch_starts, g.token_starts) for g in groups] == [
        (4, 2, (0, 16, 36), (0, 4, 9)),
        (2, 2, (32,), (8,)),
        (4, 1, (52,), (13,)),
    ]
    assert [len(c.patch_starts) for c in groups[0].chunks(40)] == [2, 1]
    assert [len(c.patch_starts) for c in groups[0].chunks(3)] == [1, 1, 1]


def test_merge_of_two_is_the_mean() -> None:
    group = group_frames([[1, 4, 4]], [2])[0]
    hidden = torch.arange(16.0).view(1, 16, 1)
    assert merge_tokens(hidden, group).flatten().tolist() == [1.5, 5.5, 9.5, 13.5]


@pytest.mark.parametrize(
    ("grids", "merges", "message"),
    [([[1, 4, 4]], [2, 2], "2 merge sizes"), ([[1, 4, 3]], [2], "whole"), ([[1, 4, 4]], [0], "whole")],
)
def test_impossible_grids_are_refused(grids: list[list[int]], merges: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        group_frames(grids, merges)


def test_wrong_number_of_rows_is_refused(
    pair: tuple[OmniVMedVisionModel, VideoLlama3VisionModel],
) -> None:
    with pytest.raises(ValueError, match="15 patch rows, but the grids describe 16"):
        pair[0](torch.zeros(15, 588), torch.tensor([[1, 4, 4]]), torch.tensor([2]))


def test_nano_encoder_has_22_million_parameters() -> None:
    with torch.device("meta"):
        model = OmniVMedVisionModel(nano_vision_config())
    assert sum(p.numel() for p in model.parameters()) == 21_520_512
