"""What goes between cards and stands on hosts and disks: bytes from the dimensions, seconds from an assumed link."""

from __future__ import annotations

from train.plan.sizes import Model
from train.recipes.config import Sharding

LINK_GB_S = {16: 10.0, 24: 12.0, 40: 200.0, 48: 20.0, 80: 200.0, 96: 20.0, 141: 300.0}
"""GB/s a card of this memory class exchanges with its neighbours while it reduces: PCIe for 16, 24, 48 and 96 GB,
NVLink for the others. Our assumption, as is the next line; `--link` replaces both."""
NODE_LINK_GB_S = 5.0
"""The same between nodes, a card's share of the network."""
STORED_TWICE = 1.02
"""Over the tensors of a DeepSpeed checkpoint: its own bookkeeping. 16.3 bytes a parameter were measured for ZeRO-2."""


def exchanged(
    sharding: Sharding, parameters: int, learning: int, passes: int, cards: int, width: int
) -> float:
    """Bytes that one card sends in one optimizer step.

    An all-reduce sends the gradients twice, less one card's share; a gather or a scatter once. DDP and ZeRO-1 reduce
    once a step, ZeRO-1 and ZeRO-2 gather the new weights; ZeRO-2 reduces after every pass (DeepSpeed#2252), by
    all-reduce (#5758); ZeRO-3 and FSDP2 gather the weights twice a pass and scatter the gradients once.
    """
    share = (cards - 1) / cards
    gradients, weights = learning * width * share, parameters * width * share
    if sharding == "none":
        return 2 * gradients
    if sharding == "zero1":
        return 2 * gradients + learning * width * share
    if sharding == "zero2":
        return passes * 2 * gradients + learning * width * share
    return passes * (2 * weights + gradients)


def link(memory_gb: int, nodes: int) -> float:
    """GB/s that is assumed for cards of this class."""
    below = [size for size in LINK_GB_S if size <= memory_gb]
    inside = LINK_GB_S[max(below)] if below else LINK_GB_S[min(LINK_GB_S)]
    return min(inside, NODE_LINK_GB_S) if nodes > 1 else inside


def host_bytes(model: Model, learning: int, offload: bool, cards: int, nodes: int, width: int) -> float:
    """Memory of one node: every process builds the whole model before it is sharded; with `offload` master weights
    and moments stay there."""
    built = model.parameters * float(width) * (cards // nodes)
    return built + (learning * 12.0 / nodes if offload else 0.0)


def checkpoint_bytes(model: Model, learning: int, sharding: Sharding, half: bool) -> float:
    """One checkpoint: the model folder, master weights and moments, and under DeepSpeed the weights a second time."""
    width, moments = (2, 12) if half else (4, 8)
    weights = model.parameters * float(width)
    if sharding.startswith("zero"):
        return (2 * weights + learning * moments) * STORED_TWICE
    if sharding == "none" and half:
        return weights + learning * (moments - width)  # what learns is fp32 itself
    return weights + learning * moments
