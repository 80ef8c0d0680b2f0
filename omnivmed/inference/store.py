"""What is kept between questions, bounded by bytes: patches, encoder features and the language model's cache."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

Key = tuple[Hashable, ...]


@dataclass
class _Item:
    value: Any
    nbytes: int


class Store:
    """Least recently used first out, by the sum of the declared sizes; safe to use from several threads.

    Keys are tuples that begin with the study's content id, so that all that belongs to a study can be dropped.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._items: OrderedDict[Key, _Item] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key) -> Any:
        """The value, now the most recently used; None when it is not (or no longer) there."""
        with self._lock:
            if key not in self._items:
                return None
            self._items.move_to_end(key)
            return self._items[key].value

    def put(self, key: Key, value: Any, nbytes: int) -> None:
        """Keep `value`, dropping the least recently used; one larger than the whole limit is not kept."""
        with self._lock:
            self._items.pop(key, None)
            if nbytes > self.limit_bytes:
                return
            self._items[key] = _Item(value, nbytes)
            while self._bytes() > self.limit_bytes:
                self._items.popitem(last=False)

    def pop(self, key: Key) -> Any:
        """Take the value out; None when it is not there."""
        with self._lock:
            item = self._items.pop(key, None)
            return None if item is None else item.value

    def forget(self, content_id: Hashable) -> int:
        """Drop everything of one study, under every window; returns the bytes freed."""
        with self._lock:
            keys = [key for key in self._items if key[0] == content_id]
            return sum(self._items.pop(key).nbytes for key in keys)

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._items.clear()

    def nbytes(self) -> int:
        """Bytes kept now."""
        with self._lock:
            return self._bytes()

    def __contains__(self, key: Key) -> bool:
        with self._lock:
            return key in self._items

    def _bytes(self) -> int:
        return sum(item.nbytes for item in self._items.values())
