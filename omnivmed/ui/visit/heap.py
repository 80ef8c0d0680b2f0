"""How this process takes its memory from the system and gives it back (glibc; elsewhere nothing is done).

A page that runs for weeks asks for blocks of megabytes all the time: an upload, a payload, the patches of a study.
glibc raises the size from which a block gets pages of its own to the largest one that was ever freed, up to 32 MB, and
from then on such blocks come out of the heaps of single threads, where small ones that stay keep them from going back.
"""

from __future__ import annotations

import ctypes
import sys

APART_BYTES = (
    4 << 20
)  # blocks of this size and more have pages of their own, which go back when they are freed
_M_MMAP_THRESHOLD = -3  # malloc.h


def large_blocks_apart() -> bool:
    """From now on, for the whole process. Whether the system's allocator took it."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        return bool(ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, APART_BYTES))
    except (OSError, AttributeError):  # another C library
        return False
