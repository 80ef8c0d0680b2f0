"""Peak memory of a piece of work on the CPU, as the tensor allocator saw it.

The profiler reports every allocation and release of the CPU allocator, those inside kernels included, so the
peak is exact for tensors. What it leaves out: the interpreter, code, and fragmentation.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile


def peak_bytes(work: Callable[[], object]) -> int:
    """Bytes allocated above the level at the start, at the highest moment of `work()`."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        work()
    events = [e for e in recorded.profiler.kineto_results.events() if e.name() == "[memory]"]
    level = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        level += event.nbytes()
        peak = max(peak, level)
    return peak


def tensor_bytes(tensors: list[torch.Tensor]) -> int:
    """Bytes of the storages behind these tensors, shared ones once."""
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())
