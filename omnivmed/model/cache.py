"""Keys and values of one conversation: grows as needed, can be cut back and copied.

Legend: ``T`` positions held; ``S`` new positions; ``G`` key-value heads; ``D`` head size.
"""

from __future__ import annotations

from typing import Protocol

import torch

GROW = 256
"""Positions by which the room grows at least."""


class Cache(Protocol):
    """What the engine may do with a cache, whatever decoder made it."""

    @property
    def length(self) -> int:
        """Positions held: the next token stands at this position."""

    @property
    def nbytes(self) -> int:
        """Bytes of memory taken, unused room included."""

    def truncate(self, length: int) -> None:
        """Forget all positions from ``length`` on. Raises ValueError when fewer are held."""

    def copy(self) -> Cache:
        """Return an independent snapshot, without unused room."""


class KVCache:
    """Preallocated keys and values of one conversation (batch 1): per layer ``(room, 2 G, D)``, keys first.

    Position ``p`` of the sequence is row ``p``, so that a step writes one row. `truncate` is free: rows are
    overwritten later. Several conversations may share a decoder, each with a cache of its own.
    """

    def __init__(
        self, layers: int, heads: int, head_dim: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self._heads = heads
        self._layers = [
            torch.empty(0, 2 * heads, head_dim, dtype=dtype, device=device) for _ in range(layers)
        ]
        self._length = 0

    @property
    def length(self) -> int:
        return self._length

    @property
    def nbytes(self) -> int:
        return sum(layer.nbytes for layer in self._layers)

    def reserve(self, length: int) -> None:
        """Make room for ``length`` positions in all; rounded up so that growing stays rare."""
        room = self._layers[0].shape[0]
        if length <= room:
            return
        wanted = max(length, min(2 * room, room + 16 * GROW))
        wanted = -(-wanted // GROW) * GROW
        for number, layer in enumerate(self._layers):
            grown = layer.new_empty(wanted, *layer.shape[1:])
            grown[: self._length] = layer[: self._length]
            self._layers[number] = grown

    def write(self, layer: int, kv_SGD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Store ``(S, 2 G, D)`` behind the positions held; return all keys and values ``(1, G, T + S, D)``.

        The positions count as held only after `advance`, once every layer has written them.
        """
        end = self._length + kv_SGD.shape[0]
        rows = self._layers[layer]
        rows[self._length : end] = kv_SGD
        held = rows[:end].transpose(0, 1)[None]
        return held[:, : self._heads], held[:, self._heads :]

    def read(self, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of a layer that are held, each ``(1, G, T, D)``; views, in the decoder's order of numbers."""
        held = self._layers[layer][: self._length].transpose(0, 1)[None]
        return held[:, : self._heads], held[:, self._heads :]

    def advance(self, count: int) -> None:
        """Count ``count`` further positions as held."""
        self._length += count

    def truncate(self, length: int) -> None:
        if not 0 <= length <= self._length:
            raise ValueError(f"cannot cut a cache of {self._length} positions to {length}")
        self._length = length

    def copy(self) -> KVCache:
        like = self._layers[0]
        other = KVCache(len(self._layers), self._heads, like.shape[2], like.dtype, like.device)
        other._layers = [layer[: self._length].clone() for layer in self._layers]
        other._length = self._length
        return other
