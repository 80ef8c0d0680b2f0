"""Published numbers to stand beside a report, each with its protocol and source; printed, never recomputed.

Only those under a protocol that is computed here too are shown beside a score: numbers of other protocols do not
compare (docs/evaluation.md). Values in percent.
"""

from __future__ import annotations

from dataclasses import dataclass

OMNIV_MED = "OmniV-Med, arXiv 2504.14692, table 1"
ABLATION = "OmniV-Med, arXiv 2504.14692, table 5"


@dataclass(frozen=True)
class Anchor:
    """One published number. measure: as the report calls it."""

    system: str
    measure: str
    value: float
    source: str = OMNIV_MED


def _two(system: str, opened: float | None, closed: float) -> tuple[Anchor, ...]:
    first = () if opened is None else (Anchor(system, "open recall", opened),)
    return (*first, Anchor(system, "closed accuracy", closed))


ANCHORS: dict[tuple[str, str], tuple[Anchor, ...]] = {
    ("vqa_rad", "A"): (
        *_two("OmniV-Med-1.5B", 59.22, 84.93), *_two("OmniV-Med-7B", 67.87, 88.24),
        *_two("LLaVA-Med (LLaMA-7B)", 61.52, 84.19), *_two("LLaVA-Med (Vicuna-7B)", 64.39, 81.98),
        *_two("Med-MoE (Phi2-3.6B)", 58.55, 82.72), *_two("Q2ATransformer", None, 81.20),
    ),
    ("slake", "A"): (
        *_two("OmniV-Med-1.5B", 84.59, 87.98), *_two("OmniV-Med-7B", 85.92, 91.51),
        *_two("LLaVA-Med (LLaMA-7B)", 83.08, 85.34), *_two("LLaVA-Med (Vicuna-7B)", 84.71, 83.17),
        *_two("Med-MoE (Phi2-3.6B)", 85.06, 85.58),
    ),
    ("pathvqa", "A"): (
        *_two("OmniV-Med-1.5B", 38.87, 92.66), *_two("OmniV-Med-7B", 41.68, 93.42),
        *_two("LLaVA-Med (LLaMA-7B)", 37.95, 91.21), *_two("LLaVA-Med (Vicuna-7B)", 38.87, 91.65),
        *_two("Med-MoE (Phi2-3.6B)", 34.74, 91.98), *_two("Q2ATransformer", 54.85, 88.85),
    ),
    ("m3d-closed", "M3D"): (
        Anchor("OmniV-Med-1.5B", "closed accuracy, mean of types", 78.49, "OmniV-Med, arXiv 2504.14692"),
        Anchor("OmniV-Med-7B", "closed accuracy, mean of types", 79.08, "OmniV-Med, arXiv 2504.14692"),
        Anchor("M3D-LaMed", "closed accuracy, mean of types", 75.78, "OmniV-Med, arXiv 2504.14692"),
        Anchor("Med3DVLM", "closed accuracy, mean of types", 79.95, "arXiv 2503.20047"),
    ),
    ("m3d-open", "M3D"): (
        Anchor("OmniV-Med-1.5B", "open recall, mean of types", 54.09, "OmniV-Med, arXiv 2504.14692"),
        Anchor("OmniV-Med-7B", "open recall, mean of types", 54.18, "OmniV-Med, arXiv 2504.14692"),
        Anchor("M3D-LaMed", "open recall, mean of types", 49.38, "OmniV-Med, arXiv 2504.14692"),
    ),
    **{
        (name, "surgical"): (
            *(
                Anchor(system, "accuracy", value, "OmniV-Med, arXiv 2504.14692")
                for system, value in zip(("OmniV-Med-1.5B", "OmniV-Med-7B", "Surgical-LLaVA"), main, strict=True)
            ),
            *(
                Anchor(f"OmniV-Med-1.5B, threshold {threshold:g}", "accuracy", value, ABLATION)
                for threshold, value in zip((0, 0.1, 0.3), ablated, strict=True)
            ),
        )
        for name, main, ablated in (
            ("cholec80", (91.7, 92.9, 92.2), (91.43, 91.69, 90.54)),
            ("endovis18", (78.8, 80.3, 68.7), (77.05, 78.81, 74.64)),
            ("psi_ava", (64.8, 69.3, 67.1), (63.53, 64.80, 61.82)),
        )
    },
}  # fmt: skip
"""(benchmark, protocol) -> published numbers. VQA-RAD's are of the official split, fine-tuned."""


def lines(benchmark: str, protocol: str) -> list[str]:
    """For a report: a line per system; nothing where no number of this protocol is known."""
    base = benchmark.partition(":")[0]
    by_system: dict[str, list[Anchor]] = {}
    for anchor in ANCHORS.get((base, protocol), ()):
        by_system.setdefault(anchor.system, []).append(anchor)
    return [
        f"- {system}: " + ", ".join(f"{a.measure} {a.value:g}" for a in found) + f" ({found[0].source})"
        for system, found in by_system.items()
    ]
