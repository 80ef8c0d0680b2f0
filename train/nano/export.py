"""Trained parts → ``assets/nano``: fp16 safetensors, closed config, manifest with sha256 of every file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from omnivmed.spoken.familiar import FILE as FAMILIAR
from omnivmed.spoken.withhold import NAMES, asks
from train.loop.store import write_json
from train.nano.fit.recipe import instruct_config
from train.nano.measure.score import silent_of
from train.nano.parts.encoder import CONFIG, PATCH, Vit
from train.nano.parts.words import Projector

ENCODER_FILE, LORA_FILE = "encoder_projector.safetensors", "lora.safetensors"
VERSION = "1.1"
BUDGET = {
    "max_tokens": 512,
    "max_frames": 32,
    "min_tokens": 16,
    "image_merge_size": 2,
    "video_merge_size": 2,
    "patch_size": PATCH,
    "image_max_tokens": 36,
    "frame_max_tokens": 16,
}
DESCRIPTION = (
    f"nano {VERSION}, a very small teaching model (ViT-S/14 with 2D rotary positions + SmolLM2-135M) that stands in "
    "for the large OmniV-Med models"
)


def tensors(weights: dict[str, Tensor], vit: Vit) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(encoder + projector, LoRA) in the product's parameter names, float16."""
    projector = Projector()
    projector.load_state_dict({k[10:]: v for k, v in weights.items() if k.startswith("projector.")})
    encoder = {f"model.vision_model.{k}": v for k, v in vit.state_dict().items()}
    encoder |= {f"model.projector.{k}": v.detach() for k, v in projector.folded().items()}
    lora = {k.removeprefix("lora.model."): v for k, v in weights.items() if k.startswith("lora.")}
    for name, value in (encoder | lora).items():
        if not torch.isfinite(value).all() or value.abs().max() > 6e4:
            raise ValueError(f"{name} does not fit float16")
    return {k: v.half().contiguous() for k, v in encoder.items()}, {
        k: v.half().contiguous() for k, v in lora.items()
    }


def config(card: dict[str, Any], backbone: dict[str, Any], trained: bool) -> dict[str, Any]:
    recipe = instruct_config()
    return {
        "format": "omnivmed-nano/1",
        "trained": trained,
        "version": VERSION,
        "image_token_id": 6,
        "video_token_id": 5,
        "vision_config": {
            "hidden_size": CONFIG.hidden_size,
            "intermediate_size": CONFIG.intermediate_size,
            "num_hidden_layers": CONFIG.num_hidden_layers,
            "num_attention_heads": CONFIG.num_attention_heads,
            "num_channels": 3,
            "patch_size": PATCH,
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-6,
            "rope_parameters": {"rope_type": "axial", "rope_theta": 100.0},
        },
        "backbone": backbone,
        "lora": {"rank": recipe.rank, "scale": recipe.alpha / recipe.rank},
        "budget": BUDGET,
        "card": card,
    }


PREVIEW = "Not yet measured: a preview."
WEAK = 0.7  # a source below this share is named beside the share over all sources


def spoken(answers: dict[str, dict[str, str]], scores: Path) -> dict[str, list[str]]:
    """What nano may be asked per kind of study, in words with its share right: the types that passed the ship rule.

    The weakest source is named where it is weak: an average must not hide it. Without scores (a preview) nothing
    is claimed.
    """
    if not scores.exists():
        return {kind: [] for kind in answers}
    measured = json.loads(scores.read_text())
    out: dict[str, list[str]] = {}
    for kind, tasks in answers.items():
        row = measured["scores"]["spoken" if kind == "image" else "sequences spoken"]
        out[kind] = []
        for task, words in tasks.items():
            key = f"{kind}:{task}"
            if measured["ship"].get(key, "not measured") or task in narrow_in(scores).get(kind, ()):
                continue
            note = f"{words} ({percent(row[key])} of 100 right on unseen patients"
            sources = {k.split("@")[1]: v for k, v in row.items() if k.startswith(key + "@") and v[1] >= 6}
            weakest = min(sources, key=lambda s: sources[s][0] / sources[s][1], default="")
            if weakest and sources[weakest][0] < WEAK * sources[weakest][1]:
                note += f"; {percent(sources[weakest])} of 100 on its weakest source"
            out[kind].append(note + ")")
    return out


def silent_in(scores: Path) -> dict[str, list[str]]:
    """By kind of study: what the product holds back. Without scores nothing has passed."""
    measured = json.loads(scores.read_text()) if scores.exists() else {"ship": {}, "silent": {}}
    failed = silent_of(measured["ship"])
    return {k: sorted({*tasks, *measured["silent"].get(k, ())}) for k, tasks in failed.items()}


def narrow_in(scores: Path) -> dict[str, list[str]]:
    """By kind of study: types that passed, but on studies of one value alone (the scores count no commonest answer for
    them). A right answer there says nothing of other studies, so the program does not ask for it."""
    if not scores.exists():
        return {}
    measured = json.loads(scores.read_text())
    if "majority" not in measured["scores"]:  # scores in which no commonest answers were counted
        return {}
    majority = measured["scores"]["majority"] | measured["scores"]["sequences majority"]
    out: dict[str, list[str]] = {}
    for key, why in measured["ship"].items():
        kind, task = key.split(":")
        if not why and key not in majority:
            out.setdefault(kind, []).append(task)
    return out


def suggested(questions: dict[str, list[str]], silent: dict[str, list[str]]) -> dict[str, list[str]]:
    """The questions that the app offers, without those whose answer is held back."""
    return {
        kind: [q for q in offered if not any(asks(a, q) for a in silent.get(kind, ()))]
        for kind, offered in questions.items()
    }


def model_card(
    template: str, answers: dict[str, list[str]], silent: dict[str, list[str]], report: Path
) -> str:
    """The card with its lists of what is answered and what is held back, and the tables of ``report``."""
    file = report / "report.md"
    template = template.replace("{{scores}}", file.read_text().strip() if file.exists() else PREVIEW)
    lines = [f"- {kind}: {'; '.join(words) or 'nothing yet'}." for kind, words in answers.items()]
    held = [f"- {kind}: {', '.join(NAMES[a] for a in names) or 'nothing'}." for kind, names in silent.items()]
    return template.replace("{{answers}}", "\n".join(lines)).replace("{{silent}}", "\n".join(held))


def percent(cell: list[int]) -> str:
    return f"{100 * cell[0] / cell[1]:.0f}"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def export(weights: dict[str, Tensor], vit: Vit, out: Path, report: Path) -> None:
    """Writes the folder. Model card and offered answers follow from ``report``, the folder of the evaluation."""
    out.mkdir(parents=True, exist_ok=True)
    encoder, lora = tensors(weights, vit)
    save_file(encoder, out / ENCODER_FILE)
    save_file(lora, out / LORA_FILE)
    write_card(out, report)


def write_card(out: Path, report: Path) -> None:
    """Model card, config and manifest of a folder from an evaluation; its weights stay as they are.

    Raises ValueError when the folder has grown past what may be shipped.
    """
    from omnivmed.weights import SMOLLM2

    here = Path(__file__).parent
    card = json.loads((here / "card.json").read_text())
    card["answers"] = spoken(card["answers"], report / "scores.json")
    one_kind = card.pop("one_kind")
    card["silent"] = silent_in(report / "scores.json")
    card["narrow"] = narrow_in(report / "scores.json")
    for kind in card["narrow"]:
        card["answers"][kind].append(one_kind[kind])
    held = {k: [*names, *card["narrow"].get(k, ())] for k, names in card["silent"].items()}
    card["questions"] = {
        k: q for k, q in suggested(card["questions"], held).items() if k not in card["narrow"]
    }
    (out / "README.md").write_text(
        model_card((here / "card.md").read_text(), card["answers"], card["silent"], report)
    )
    backbone = {"name": SMOLLM2.name, "gguf_sha256": SMOLLM2.gguf_sha256, "licence": SMOLLM2.licence}
    write_json(config({"description": DESCRIPTION, **card}, backbone, True), out / "config.json")
    names = [ENCODER_FILE, LORA_FILE, "config.json", "README.md"]
    names += [FAMILIAR] if (out / FAMILIAR).is_file() else []
    files: dict[str, dict[str, Any]] = {
        n: {"sha256": sha256(out / n), "bytes": (out / n).stat().st_size} for n in names
    }
    write_json(
        {"format": "omnivmed-nano/1", "version": VERSION, "files": files, "backbone": backbone},
        out / "manifest.json",
    )
    total = sum(f["bytes"] for f in files.values())
    print(f"{out}: {total / 1e6:.1f} MB")
    if total > 80e6:
        raise ValueError("assets/nano must stay under 80 MB")
