"""Encapsulated pixel data (PS3.5 A.4): the items of its sequence, and which of them make one frame."""

from __future__ import annotations

from dataclasses import dataclass

_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  ")  # JPEG and JPEG-LS, JPEG 2000, JP2


@dataclass(frozen=True)
class Fragments:
    """Items behind the offset table. `closed`: the delimiter is there; `cut`: the last item ends with the file."""

    offsets: tuple[int, ...]
    starts: tuple[int, ...]  # of each item, counted from the first one behind the table
    items: tuple[memoryview, ...]
    closed: bool
    cut: bool


def fragments_of(data: memoryview) -> Fragments | None:
    """The items of an encapsulated value, or None when it does not begin with one."""
    items: list[memoryview] = []
    starts: list[int] = []
    position, closed, cut = 0, False, False
    while position + 8 <= len(data):
        tag = bytes(data[position : position + 4])
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        if tag == _END:
            closed = True
            break
        if tag != _ITEM:
            return None if not items else _made(items, starts, closed, True)
        body = data[position + 8 : position + 8 + length]
        if len(body) < length:
            cut = True
            break
        items.append(body)
        starts.append(position)
        position += 8 + length
    return _made(items, starts, closed, cut) if items else None


def _made(items: list[memoryview], starts: list[int], closed: bool, cut: bool) -> Fragments:
    table = items[0]
    offsets = tuple(int.from_bytes(table[i : i + 4], "little") for i in range(0, len(table) - 3, 4))
    first = starts[1] if len(starts) > 1 else 0
    return Fragments(offsets, tuple(s - first for s in starts[1:]), tuple(items[1:]), closed, cut)


def frames_of(found: Fragments, count: int) -> list[bytes]:
    """The code stream of each frame, `count` of them when the data allow it, else as many as there are.

    One item per frame; else a frame begins where a code stream does; else where the offset table says.
    """
    items = found.items
    if len(items) == count:
        return [bytes(i) for i in items]
    if count == 1:
        return [b"".join(items)] if items else []
    begins = [k for k, i in enumerate(items) if bytes(i[:8]).startswith(_STARTS)]
    if len(begins) != count and len(found.offsets) == count:
        told = [k for k, s in enumerate(found.starts) if s in set(found.offsets)]
        begins = told if len(told) == count else begins
    if not begins or begins[0] != 0:
        return [bytes(i) for i in items[:count]]
    ends = [*begins[1:], len(items)]
    return [b"".join(items[a:b]) for a, b in zip(begins, ends, strict=True)][:count]
