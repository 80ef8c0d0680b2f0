"""Keys and values of one conversation: grows as needed, can be cut back and copied.

Legend: ``T`` positions held; ``G`` key-value heads; ``D`` head size.
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
    """Preallocated keys and values ``(layers, 2, G, room, D)`` of one conversation (batch 1).

    Position ``p`` of the sequence is row ``p``. `truncate` is free: rows are overwritten later. Several
    conversations may share a decoder, each with a cache of its own.
    """

    def __init__(
        self, layers: int, heads: int, head_dim: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self._data = torch.empty(layers, 2, heads, 0, head_dim, dtype=dtype, device=device)
        self._length = 0

    @property
    def length(self) -> int:
        return self._length

    @property
    def nbytes(self) -> int:
        return self._data.nbytes

    def reserve(self, length: int) -> None:
        """Make room for ``length`` positions in all; rounded up so that growing stays rare."""
        room = self._data.shape[3]
        if length <= room:
            return
        wanted = max(length, min(2 * room, room + 16 * GROW))
        wanted = -(-wanted // GROW) * GROW
        shape = list(self._data.shape)
        shape[3] = wanted
        data = self._data.new_empty(shape)
        data[:, :, :, : self._length] = self._data[:, :, :, : self._length]
        self._data = data

    def write(self, layer: int, kv_2GSD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Store keys and values of new positions behind those held; return all ``(G, T + S, D)`` of the layer.

        The positions count as held only after `advance`, once every layer has written them.
        """
        end = self._length + kv_2GSD.shape[2]
        rows = self._data[layer]
        rows[:, :, self._length : end] = kv_2GSD
        return rows[0, :, :end], rows[1, :, :end]

    def advance(self, count: int) -> None:
        """Count ``count`` further positions as held."""
        self._length += count

    def truncate(self, length: int) -> None:
        if not 0 <= length <= self._length:
            raise ValueError(f"cannot cut a cache of {self._length} positions to {length}")
        self._length = length

    def copy(self) -> KVCache:
        layers, _, heads, _, head_dim = self._data.shape
        other = KVCache(layers, heads, head_dim, self._data.dtype, self._data.device)
        other._data = self._data[:, :, :, : self._length].clone()
        other._length = self._length
        return other
