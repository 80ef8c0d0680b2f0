"""ViT-S/14 with the parameter names of the stock VideoLlama3 vision encoder, batched over same-grid images.

``pos="table"`` is the original DINOv2 (class token, learned position table): the teacher.
``pos="rope"`` is our encoder: no class token, no table, 2D rotary positions in every layer: the student.
Shapes: B images, P = gh * gw patches in raster order, C = 384 channels, h = 6 heads.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HIDDEN, MLP, LAYERS, HEADS, PATCH = 384, 1536, 12, 6, 14


def rope_angles(gh: int, gw: int, theta: float, head_dim: int = HIDDEN // HEADS) -> tuple[Tensor, Tensor]:
    """cos and sin (P, head_dim) in raster order: rows rotate the first quarter pairs, columns the second."""
    quarter = head_dim // 4
    freq = theta ** (-torch.arange(quarter, dtype=torch.float32) / quarter)
    rows = torch.arange(gh, dtype=torch.float32)[:, None, None].expand(gh, gw, 1) * freq
    cols = torch.arange(gw, dtype=torch.float32)[None, :, None].expand(gh, gw, 1) * freq
    angles = torch.cat([rows, cols], -1).reshape(gh * gw, 2 * quarter)
    angles = torch.cat([angles, angles], -1)
    return angles.cos(), angles.sin()


def rotate(x_BhPd: Tensor, cos_Pd: Tensor, sin_Pd: Tensor) -> Tensor:
    """Rotary positions on queries or keys (B, h, P, d); cos and sin (P, d)."""
    first, second = x_BhPd.chunk(2, -1)
    return (x_BhPd * cos_Pd + torch.cat([-second, first], -1) * sin_Pd).to(x_BhPd.dtype)


class Attention(nn.Module):
    """Self-attention over the patches of one picture."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(hidden, hidden) for _ in range(4))

    def forward(self, x_BPC: Tensor, rope: tuple[Tensor, Tensor] | None) -> Tensor:
        """(B, P, C) → (B, P, C); rope: (cos, sin), None with a position table."""
        b, p, c = x_BPC.shape
        q, k, v = (
            m(x_BPC).view(b, p, self.heads, -1).transpose(1, 2)
            for m in (self.q_proj, self.k_proj, self.v_proj)
        )
        if rope is not None:
            q, k = rotate(q, *rope), rotate(k, *rope)
        out = F.scaled_dot_product_attention(q, k, v)
        return self.out_proj(out.transpose(1, 2).reshape(b, p, c))


class Mlp(nn.Module):
    """Two linears with GELU between."""

    def __init__(self, hidden: int, mlp: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(hidden, mlp), nn.Linear(mlp, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """(…, C) → (…, C)."""
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Attention and MLP, each after a norm and added to what came in."""

    def __init__(self, hidden: int, mlp: int, heads: int) -> None:
        super().__init__()
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(hidden, eps=1e-6), nn.LayerNorm(hidden, eps=1e-6)
        self.self_attn, self.mlp = Attention(hidden, heads), Mlp(hidden, mlp)

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor] | None) -> Tensor:
        """(B, P, C) → (B, P, C)."""
        x = x + self.self_attn(self.layer_norm1(x), rope)
        return x + self.mlp(self.layer_norm2(x))


class Layers(nn.Module):
    """The blocks, under the names of the product's encoder."""

    def __init__(self, hidden: int, mlp: int, heads: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Block(hidden, mlp, heads) for _ in range(layers)])


class Embeddings(nn.Module):
    """Pixels to patches, under the names of the product's encoder."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.patch_embedding = nn.Conv2d(3, hidden, PATCH, PATCH)


class Vit(nn.Module):
    """Images (B, 3, H, W) in [-1, 1] -> patch features (B, P, C) after the last LayerNorm."""

    def __init__(
        self,
        pos: str = "rope",
        theta: float = 100.0,
        hidden: int = HIDDEN,
        mlp: int = MLP,
        layers: int = LAYERS,
        heads: int = HEADS,
    ) -> None:
        super().__init__()
        self.pos, self.theta, self.heads = pos, theta, heads
        self.embeddings = Embeddings(hidden)
        self.encoder = Layers(hidden, mlp, heads, layers)
        self.post_layernorm = nn.LayerNorm(hidden, eps=1e-6)
        if pos == "table":
            self.cls_token = nn.Parameter(torch.zeros(1, 1, hidden))
            self.cls_position = nn.Parameter(torch.zeros(1, 1, hidden))
            self.position_table = nn.Parameter(torch.zeros(1, 37 * 37, hidden))

    def forward(self, pixels: Tensor, taps: tuple[int, ...] = ()) -> tuple[Tensor, list[Tensor]]:
        """Returns final patch features and, for each layer number in ``taps`` (1-based), its patch output."""
        x = self.embeddings.patch_embedding(pixels)
        b, c, gh, gw = x.shape
        x = x.flatten(2).transpose(1, 2)
        rope = None
        if self.pos == "table":
            table = self.position_table.view(1, 37, 37, c).permute(0, 3, 1, 2)
            table = F.interpolate(table.float(), (gh, gw), mode="bicubic", align_corners=False)
            x = x + table.flatten(2).transpose(1, 2)
            x = torch.cat([(self.cls_token + self.cls_position).expand(b, 1, c).to(x.dtype), x], 1)
        else:
            rope = rope_angles(gh, gw, self.theta, c // self.heads)
        skip, tapped = int(self.pos == "table"), []
        for number, layer in enumerate(self.encoder.layers, 1):
            x = layer(x, rope)
            if number in taps:
                tapped.append(x[:, skip:])
        return self.post_layernorm(x)[:, skip:], tapped


def merge2(features_BPC: Tensor, gh: int, gw: int) -> Tensor:
    """2x2 mean: (B, gh*gw, C) -> (B, gh/2 * gw/2, C), raster order. The stock merge at merge_size 2."""
    b, _, c = features_BPC.shape
    x = features_BPC.view(b, gh // 2, 2, gw // 2, 2, c)
    return x.mean((2, 4)).reshape(b, -1, c)
