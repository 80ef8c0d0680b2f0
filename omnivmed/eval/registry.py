"""The seven published benchmarks by name: how each is read, and under which protocols it is scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from omnivmed.eval import cholec80, endovis18, folder, m3d, m3d_tasks, pathvqa, psi_ava, slake, vqa_rad
from omnivmed.eval.clips import Clip
from omnivmed.eval.protocol import Protocol
from omnivmed.records import Reading


@dataclass(frozen=True)
class Benchmark:
    """One published set under one reading of it.

    read(root, split) -> Reading; train_split feeds the baselines, test_split is what is reported."""

    name: str
    read: Callable[[Path, str], Reading]
    protocols: tuple[Protocol, ...]
    train_split: str = "train"
    test_split: str = "test"


WITH_CLIPS: dict[str, Callable[..., Reading]] = {
    "cholec80": cholec80.read,
    "endovis18": endovis18.read,
    "psi_ava": psi_ava.read,
    "clips": folder.read,
}
"""Sets with questions about one frame: read as clips. The published ones have "<name>-stills" beside them."""

BENCHMARKS: dict[str, Benchmark] = {
    b.name: b
    for b in (
        Benchmark("vqa_rad", partial(vqa_rad.read, convention="original"), vqa_rad.PROTOCOLS),
        Benchmark(
            "vqa_rad-by-image",
            partial(vqa_rad.read, convention="original"),
            vqa_rad.PROTOCOLS,
            train_split="train-by-image",
            test_split="test-by-image",
        ),
        Benchmark("vqa_rad-hub", partial(vqa_rad.read, convention="hub"), vqa_rad.PROTOCOLS),
        Benchmark("slake", slake.read, slake.PROTOCOLS),
        Benchmark("pathvqa", pathvqa.read, pathvqa.PROTOCOLS),
        Benchmark("m3d-closed", partial(m3d.read, form="closed"), (m3d.PROTOCOLS[0],)),
        Benchmark("m3d-open", partial(m3d.read, form="open"), (m3d.PROTOCOLS[1],)),
        Benchmark("m3d-retrieval", m3d_tasks.read_retrieval, m3d_tasks.RETRIEVAL_PROTOCOLS),
        Benchmark("m3d-positioning", m3d_tasks.read_positioning, m3d_tasks.POSITIONING_PROTOCOLS),
        Benchmark("clips", folder.read, folder.PROTOCOLS, train_split="all", test_split="all"),
        Benchmark("cholec80", partial(cholec80.read, clip=Clip()), cholec80.PROTOCOLS),
        Benchmark("cholec80-stills", cholec80.read, cholec80.PROTOCOLS),
        Benchmark("endovis18", partial(endovis18.read, clip=Clip()), endovis18.PROTOCOLS),
        Benchmark("endovis18-stills", endovis18.read, endovis18.PROTOCOLS),
        Benchmark("psi_ava", partial(psi_ava.read, clip=Clip()), psi_ava.PROTOCOLS),
        Benchmark("psi_ava-stills", psi_ava.read, psi_ava.PROTOCOLS),
    )
}


def find(name: str) -> Benchmark:
    """The benchmark of that name. "cholec80:16x0.5+4" reads other clips than the usual (`Clip.parse`).

    Raises ValueError listing the names, or for a clip of a set that is no video.
    """
    base, _, clip = name.partition(":")
    if base not in BENCHMARKS:
        raise ValueError(f"no benchmark {base!r}; choose from {', '.join(BENCHMARKS)}")
    if not clip:
        return BENCHMARKS[base]
    if base not in WITH_CLIPS:
        raise ValueError(f"{base} is not read as clips; those that are: {', '.join(WITH_CLIPS)}")
    return replace(BENCHMARKS[base], name=name, read=partial(WITH_CLIPS[base], clip=Clip.parse(clip)))


def find_protocol(benchmark: Benchmark, name: str | None) -> Protocol:
    """The benchmark's protocol of that name, its first when None. Raises ValueError listing the names."""
    if name is None:
        return benchmark.protocols[0]
    for protocol in benchmark.protocols:
        if protocol.name == name:
            return protocol
    raise ValueError(
        f"{benchmark.name} has no protocol {name!r}: {', '.join(p.name for p in benchmark.protocols)}"
    )
