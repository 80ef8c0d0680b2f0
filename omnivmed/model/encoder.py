"""The vision encoder: SigLIP-type blocks with 2D rotary positions, frames of one shape run as one batch.

Parameter names and results are those of transformers' ``VideoLlama3VisionModel`` (which loops over frames
inside every layer); only the schedule differs: frames are grouped by grid shape, stacked, and every layer
runs once per chunk of frames. Attention never crosses a frame, so no mask is needed.

Legend: ``N`` patches of all studies; ``B`` frames in a chunk; ``L`` patches per frame; ``C`` hidden size;
``H`` heads; ``D`` head size; ``M`` merged tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from omnivmed.model.rotary import axial_frequencies, patch_positions, rotary_tables, rotate
from omnivmed.model.upstream import (
    ALL_ATTENTION_FUNCTIONS,
    BaseModelOutputWithPooling,
    GradientCheckpointingLayer,
    VideoLlama3PreTrainedModel,
    VideoLlama3VisionAttention,
    VideoLlama3VisionConfig,
    VideoLlama3VisionEmbeddings,
    VideoLlama3VisionMLP,
    VideoLlama3VisionModel,
    VideoLlama3VisionRotaryEmbedding,
    eager_attention_forward,
)

CHUNK_PATCHES = 8192
"""Patches that pass through the layers together; bounds activation memory without gradients."""


@dataclass(frozen=True)
class FrameGroup:
    """Frames of one shape: ``patch_starts`` and ``token_starts`` give each frame's first row in and out."""

    grid_h: int
    grid_w: int
    merge_size: int
    patch_starts: tuple[int, ...]
    token_starts: tuple[int, ...]

    @property
    def patches_per_frame(self) -> int:
        """grid_h * grid_w."""
        return self.grid_h * self.grid_w

    @property
    def tokens_per_frame(self) -> int:
        """Patches per frame over merge_size²."""
        return self.patches_per_frame // self.merge_size**2

    def chunks(self, max_patches: int) -> Iterator[FrameGroup]:
        """Yield parts of at most ``max_patches`` patches, and of at least one frame."""
        step = max(1, max_patches // self.patches_per_frame)
        for i in range(0, len(self.patch_starts), step):
            starts, tokens = self.patch_starts[i : i + step], self.token_starts[i : i + step]
            yield FrameGroup(self.grid_h, self.grid_w, self.merge_size, starts, tokens)


def group_frames(grid_thw: list[list[int]], merge_sizes: list[int]) -> list[FrameGroup]:
    """Group the frames of all studies by (grid height, grid width, merge size), in order of appearance.

    ``grid_thw``: one ``[frames, patch rows, patch columns]`` per study. Raises ValueError when the two lists
    differ in length or a grid is not made of whole merge blocks.
    """
    if len(grid_thw) != len(merge_sizes):
        raise ValueError(f"{len(grid_thw)} grids but {len(merge_sizes)} merge sizes")
    groups: dict[tuple[int, int, int], tuple[list[int], list[int]]] = {}
    patch, token = 0, 0
    for (frames, grid_h, grid_w), merge in zip(grid_thw, merge_sizes, strict=True):
        if merge < 1 or grid_h % merge or grid_w % merge:
            raise ValueError(f"grid {grid_h} x {grid_w} is not made of whole {merge} x {merge} merge blocks")
        patches, tokens = groups.setdefault((grid_h, grid_w, merge), ([], []))
        for _ in range(frames):
            patches.append(patch)
            tokens.append(token)
            patch += grid_h * grid_w
            token += grid_h * grid_w // merge**2
    return [FrameGroup(*shape, tuple(p), tuple(t)) for shape, (p, t) in groups.items()]


def merge_tokens(hidden_BLC: torch.Tensor, group: FrameGroup) -> torch.Tensor:
    """Merge each ``m x m`` block of patches to one token: ``(B, L, C)`` -> ``(B, L / m**2, C)``.

    The result is in raster order over blocks. Bilinear reduction as in the reference; for m = 2 that is the
    plain mean of the four patches, which are consecutive rows.
    """
    m = group.merge_size
    if m == 1:
        return hidden_BLC
    frames, length, width = hidden_BLC.shape
    if m == 2:
        return hidden_BLC.view(frames, length // 4, 4, width).mean(dim=2)
    rows, columns = group.grid_h // m, group.grid_w // m
    grid = hidden_BLC.view(frames, rows, columns, m, m, width).permute(0, 5, 1, 3, 2, 4)
    grid = grid.reshape(frames, width, group.grid_h, group.grid_w)
    merged = nn.functional.interpolate(grid, size=(rows, columns), mode="bilinear")
    return merged.flatten(2).transpose(1, 2)


class OmniVMedVisionAttention(VideoLlama3VisionAttention):
    """Full attention within each frame of a batch of same-shaped frames; parameters as in the base class."""

    def forward(  # type: ignore[override]  # frames are stacked, not concatenated: no cu_seqlens
        self, hidden_BLC: torch.Tensor, cos_LD: torch.Tensor, sin_LD: torch.Tensor
    ) -> torch.Tensor:
        """(B, L, C) → (B, L, C): frames attend within themselves; cos and sin (L, D) are shared by a group."""
        frames, length, _ = hidden_BLC.shape
        q, k, v = (
            projection(hidden_BLC).view(frames, length, self.num_heads, self.head_dim).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = rotate(q, cos_LD, sin_LD), rotate(k, cos_LD, sin_LD)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention_forward
        )
        dropout = self.attention_dropout if self.training else 0.0
        out, _ = attend(
            self, q, k, v, attention_mask=None, scaling=self.scaling, dropout=dropout, is_causal=False
        )
        projected: torch.Tensor = self.out_proj(out.reshape(frames, length, -1))
        return projected


class OmniVMedVisionLayer(GradientCheckpointingLayer):
    """Pre-norm transformer block; recomputed in the backward pass when activation checkpointing is on."""

    def __init__(self, config: VideoLlama3VisionConfig) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.self_attn = OmniVMedVisionAttention(config)  # type: ignore[no-untyped-call]  # the base class's __init__
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = VideoLlama3VisionMLP(config)

    def forward(self, hidden_BLC: torch.Tensor, cos_LD: torch.Tensor, sin_LD: torch.Tensor) -> torch.Tensor:
        """(B, L, C) → (B, L, C): attention and MLP, each after a norm and added to what came in."""
        hidden_BLC = hidden_BLC + self.self_attn(self.layer_norm1(hidden_BLC), cos_LD, sin_LD)
        changed: torch.Tensor = self.mlp(self.layer_norm2(hidden_BLC))
        return hidden_BLC + changed


class OmniVMedVisionEncoder(nn.Module):
    """The stack of blocks, kept as a module of its own so that parameter names equal the reference's."""

    def __init__(self, config: VideoLlama3VisionConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList([OmniVMedVisionLayer(config) for _ in range(config.num_hidden_layers)])
        self.gradient_checkpointing = False


class OmniVMedVisionModel(VideoLlama3VisionModel):
    """Encoder of images, slices and frames of any size: OmniV-Med §2.1, "rotary position-adaptive" encoder.

    ``chunk_patches`` may be changed at any time; it alters memory and speed, never the result.
    """

    # ClassVar would contradict the base class, which declares them as attributes of an instance.
    _no_split_modules = ["OmniVMedVisionLayer"]  # noqa: RUF012
    _can_record_outputs: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, config: VideoLlama3VisionConfig) -> None:
        VideoLlama3PreTrainedModel.__init__(self, config)
        self.rotary_pos_emb = VideoLlama3VisionRotaryEmbedding(config)
        self.embeddings = VideoLlama3VisionEmbeddings(config)
        self.encoder = OmniVMedVisionEncoder(config)  # type: ignore[assignment]  # in the place of the looping one
        self.post_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.chunk_patches = CHUNK_PATCHES
        VideoLlama3PreTrainedModel.post_init(self)

    def embed(self, patches: torch.Tensor) -> torch.Tensor:
        """Embed patch rows ``(..., 3 * patch**2)`` in [-1, 1] to ``(..., C)`` by one matmul."""
        convolution = self.embeddings.patch_embedding
        return nn.functional.linear(patches.to(self.dtype), convolution.weight.flatten(1), convolution.bias)

    def tables(self, group: FrameGroup, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Return rotary ``cos``, ``sin`` ``(L, D)`` of one frame shape; never read from a checkpoint."""
        config = self.config
        theta = float((config.rope_parameters or {})["rope_theta"])
        frequencies = axial_frequencies(config.hidden_size // config.num_attention_heads, theta)
        return rotary_tables(
            patch_positions(group.grid_h, group.grid_w, group.merge_size, device), frequencies
        )

    def forward(
        self,
        pixel_values: torch.Tensor,
        grid_thw: torch.Tensor,
        merge_sizes: torch.Tensor,
        output_hidden_states: bool = False,
        tokens_only: bool = False,
        **kwargs: Any,
    ) -> BaseModelOutputWithPooling | torch.Tensor:
        """Encode all frames of all studies.

        pixel_values: ``(N, 588)`` in [-1, 1], studies concatenated, merge-block order within a frame.
        grid_thw: ``(n, 3)`` frames, patch rows, patch columns per study. merge_sizes: ``(n,)``.
        Returns ``last_hidden_state`` ``(M, C)``: studies concatenated, raster order (frame, row, column).
        With ``output_hidden_states`` also the stream after the embedding and each block, each ``(N, C)``
        in the order of ``pixel_values``, before ``post_layernorm`` and merging. With ``tokens_only`` the bare
        ``(M, C)``: hooks on the backward pass (ZeRO-3) work for tensors only. Remaining keyword arguments
        (passed along by callers to every part of the model) are ignored.

        Raises ValueError when the number of rows does not match the grids.
        """
        groups = group_frames(grid_thw.tolist(), merge_sizes.tolist())
        expected = sum(len(g.patch_starts) * g.patches_per_frame for g in groups)
        if pixel_values.shape[0] != expected:
            raise ValueError(f"{pixel_values.shape[0]} patch rows, but the grids describe {expected}")
        device = pixel_values.device
        token_parts: list[torch.Tensor] = []
        layer_parts: list[list[torch.Tensor]] = []
        token_rows: list[torch.Tensor] = []
        patch_rows: list[torch.Tensor] = []
        for group in groups:
            cos_LD, sin_LD = self.tables(group, device)
            for chunk in group.chunks(self.chunk_patches):
                tokens_MC, layers = self._encode(pixel_values, chunk, cos_LD, sin_LD, output_hidden_states)
                token_parts.append(tokens_MC)
                layer_parts.append(layers)
                token_rows.append(_rows(chunk.token_starts, chunk.tokens_per_frame, device))
                patch_rows.append(_rows(chunk.patch_starts, chunk.patches_per_frame, device))
        last = _restore(token_parts, token_rows)
        if tokens_only:
            return last
        hidden = None
        if output_hidden_states:
            hidden = tuple(_restore(list(parts), patch_rows) for parts in zip(*layer_parts, strict=True))
        return BaseModelOutputWithPooling(last_hidden_state=last, hidden_states=hidden)

    def _encode(
        self,
        patches: torch.Tensor,
        chunk: FrameGroup,
        cos_LD: torch.Tensor,
        sin_LD: torch.Tensor,
        keep_layers: bool,
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        frames, length = len(chunk.patch_starts), chunk.patches_per_frame
        first = chunk.patch_starts[0]
        if chunk.patch_starts[-1] - first == (frames - 1) * length:  # consecutive frames: a view, no copy
            rows = patches[first : first + frames * length]
        else:
            rows = patches[_rows(chunk.patch_starts, length, patches.device)]
        hidden_BLC = self.embed(rows.reshape(frames, length, -1))
        layers = [hidden_BLC.flatten(0, 1)] if keep_layers else []
        for layer in self.encoder.layers:
            hidden_BLC = layer(hidden_BLC, cos_LD, sin_LD)
            if keep_layers:
                layers.append(hidden_BLC.flatten(0, 1))
        tokens = merge_tokens(self.post_layernorm(hidden_BLC), chunk)
        return tokens.flatten(0, 1), layers


def _rows(starts: tuple[int, ...], length: int, device: torch.device) -> torch.Tensor:
    """Return the row numbers ``start .. start + length - 1`` of each frame, concatenated."""
    return (torch.tensor(starts, device=device)[:, None] + torch.arange(length, device=device)).flatten()


def _restore(parts: list[torch.Tensor], rows: list[torch.Tensor]) -> torch.Tensor:
    """Concatenate the chunks and put their rows back into the order of the input."""
    if len(parts) == 1:
        return parts[0]  # a single group is in order already
    order = torch.cat(rows)
    joined = torch.cat(parts)
    if bool((order[1:] > order[:-1]).all()):
        return joined
    return joined[torch.argsort(order)]
