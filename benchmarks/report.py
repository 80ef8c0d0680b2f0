"""The table: markdown for people, JSON with every sample for machines, both with the facts of the machine."""

from __future__ import annotations

import dataclasses
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.cases import Case
from benchmarks.timing import Samples, Spread, ratios, spread


def machine() -> dict[str, Any]:
    """Processor, cores, threads and versions; nothing that names the machine or its folders."""
    import torch
    import transformers

    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY", "default"),
        "bf16": bool(torch.cpu.get_capabilities().get("avx512_bf16")),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "revision": _revision(),
    }


def load_average() -> list[float]:
    """Processes that wanted a core, mean over 1, 5 and 15 minutes."""
    return [round(v, 1) for v in os.getloadavg()] if hasattr(os, "getloadavg") else []


def row(case: Case, dtype: str, samples: dict[str, Samples]) -> dict[str, Any]:
    """One measured case with medians, quartiles and all samples."""
    baseline, ours = samples["baseline"], samples["ours"]
    return {
        "group": case.group,
        "name": case.name,
        "dtype": dtype,
        "baseline": case.baseline,
        "note": case.note,
        "check": case.check,
        "rounds": len(ours.wall_s),
        "baseline_s": dataclasses.asdict(spread(baseline.wall_s)),
        "ours_s": dataclasses.asdict(spread(ours.wall_s)),
        "ratio": dataclasses.asdict(spread(ratios(baseline.wall_s, ours.wall_s))),
        "cpu_ratio": dataclasses.asdict(spread(ratios(baseline.cpu_s, ours.cpu_s))),
        "samples": {name: dataclasses.asdict(value) for name, value in samples.items()},
    }


def markdown(result: dict[str, Any]) -> str:
    """The table with its protocol."""
    facts, load = result["machine"], result["load_average"]
    lines = [
        "# Speed",
        "",
        f"Made by `{result['command']}` ({result['weights']}).",
        "",
        f"{facts['processor']}, {facts['cores']} cores, {facts['threads']} threads, OMP wait policy "
        f"{facts['omp_wait_policy']}; Python {facts['python']}, torch {facts['torch']}, transformers "
        f"{facts['transformers']}; revision {facts['revision']}. Load average {load['before']} before, "
        f"{load['after']} after: above the number of cores, other work shared the machine, and seconds are "
        "inflated; ratios compare runs of the same round.",
        "",
        "Both sides have the same weights and run in turn within each round. A ratio above 1 means ours is faster; "
        "median over the rounds, quartiles in brackets. The CPU ratio compares processor time of all threads, "
        "which other work on the machine disturbs less.",
        "",
        "| what | against | type | baseline s | ours s | ratio | CPU ratio | n | verified |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for entry in result["rows"]:
        ratio, cpu = Spread(**entry["ratio"]), Spread(**entry["cpu_ratio"])
        name = f"{entry['group']}: {entry['name']}" + (f" ({entry['note']})" if entry["note"] else "")
        lines.append(
            f"| {name} | {entry['baseline']} | {entry['dtype']} | {_seconds(entry['baseline_s'])} | "
            f"{_seconds(entry['ours_s'])} | {ratio.median:.2f} [{ratio.low:.2f}, {ratio.high:.2f}] | "
            f"{cpu.median:.2f} | {entry['rounds']} | {entry['check']} |"
        )
    return "\n".join(lines) + "\n"


def _seconds(value: dict[str, float]) -> str:
    return f"{value['median']:.3g}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _revision() -> str:
    root = Path(__file__).resolve().parents[1]
    try:
        out = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return out.stdout.strip()
