"""Which device, which number type, how many threads: decided here and nowhere else.

torch is imported inside the functions, and nothing is set on import.
"""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from omnivmed.errors import ModelError

if TYPE_CHECKING:
    import torch

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True)
class Hardware:
    """A device and the number type weights are held in there; `why` is one phrase for `doctor`."""

    device: torch.device
    dtype: torch.dtype
    why: str


def choose(device: str = "auto", dtype: str = "auto") -> Hardware:
    """auto: CUDA where there is any, else the CPU; bf16 where the device computes in it, else fp32.

    On CPUs bf16 pays with AVX512_BF16 or AMX: half the memory, and 1.5 to 2 times faster than fp32 in encoding,
    reading and answering (docs/engine.md has the figures); elsewhere it is emulated and slow.
    Raises ModelError for a device or type that is not there.
    """
    import torch

    cuda = torch.cuda.is_available()
    name = ("cuda" if cuda else "cpu") if device == "auto" else device
    try:
        chosen = torch.device(name)
    except RuntimeError:
        raise ModelError("Unsupported", f"There is no device {name}; use auto, cpu or cuda.") from None
    if chosen.type not in ("cpu", "cuda"):
        raise ModelError("Unsupported", f"The device {name} is not supported; use auto, cpu or cuda.")
    if chosen.type == "cuda" and not cuda:
        raise ModelError("Unsupported", "No CUDA device can be used here; use --device cpu.")
    if dtype != "auto":
        types = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
        if dtype not in types:
            raise ModelError(
                "Unsupported", f"There is no number type {dtype}; use auto or {', '.join(types)}."
            )
        return Hardware(chosen, types[dtype], "asked for")
    if chosen.type == "cuda":
        if torch.cuda.is_bf16_supported():
            return Hardware(chosen, torch.bfloat16, "the GPU computes in bf16")
        return Hardware(chosen, torch.float16, "the GPU computes in fp16, not in bf16")
    if cpu_has_bf16():
        return Hardware(chosen, torch.bfloat16, "the CPU computes in bf16")
    return Hardware(chosen, torch.float32, "the CPU does not compute in bf16")


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bf16 natively (AVX512_BF16 or AMX)."""
    import torch

    has = torch.cpu.get_capabilities()
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))


def use_physical_cores() -> int:
    """Let torch use one thread per physical core that this process may run on; returns how many.

    Left alone when OMP_NUM_THREADS says otherwise. Hyper-threads slow matrix products down, and containers often
    see more cores than their quota lets them use.
    """
    import torch

    if os.environ.get("OMP_NUM_THREADS"):
        return torch.get_num_threads()
    has = torch.cpu.get_capabilities()
    logical = int(has.get("num_logical_cores") or os.cpu_count() or 1)
    physical = int(has.get("num_physical_cores") or logical)
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else logical
    threads = max(1, min(physical, allowed, cpu_quota() or physical))
    if threads != torch.get_num_threads():
        torch.set_num_threads(threads)
    return threads


def wait_passively() -> None:
    """Let torch's threads sleep while they wait for each other, unless the environment says otherwise.

    Spinning, the default, costs a factor of ten and more per token as soon as another process wants the cores.
    Works only before torch is imported for the first time; harmless afterwards.
    """
    if "torch" not in sys.modules:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def cpu_quota() -> int | None:
    """Whole CPUs that the container's quota allows, None when there is no quota."""
    try:
        quota, period = _QUOTA.read_text(encoding="ascii").split()
        return None if quota == "max" else max(1, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):
        return None
