"""Name → `LocalAssistant`: find the weights, verify them, build the model without initialising it twice.

A model that has not been trained is never loaded as an assistant: what it would say is no answer.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from omnivmed import weights
from omnivmed.errors import ModelError
from omnivmed.generation.abilities import abilities_of
from omnivmed.inference.cards import follows_of, knows_of
from omnivmed.inference.drawing import Artist, Drawer
from omnivmed.inference.engine import LocalAssistant
from omnivmed.inference.public import load_public
from omnivmed.inference.tokenizer import load_tokenizer
from omnivmed.limits import LOCAL, Limits
from omnivmed.model.hardware import wait_passively
from omnivmed.progress import Progress
from omnivmed.resources import nano_draw_dir
from omnivmed.spoken.attributes import ATTRIBUTES
from omnivmed.spoken.familiar import FILE, load_familiar
from omnivmed.vision import VisionBudget
from omnivmed.weights.names import Source, read_config, resolve

if TYPE_CHECKING:
    import torch

    from omnivmed.inference.torch_runtime import TorchRuntime
    from omnivmed.model.config import OmniVMedConfig

log = logging.getLogger("omnivmed.inference")
NANO_ADVICE = "The folder of nano is incomplete; get the repository or install the package again."
NANO_FILES = ("config.json", "encoder_projector.safetensors", "lora.safetensors")
#: Closed schema of nano's config.json: any other key is refused.
NANO_KEYS = frozenset(
    {
        "format",
        "trained",
        "version",
        "image_token_id",
        "video_token_id",
        "vision_config",
        "backbone",
        "lora",
        "budget",
        "card",
    }
)


def load_model(
    name: str = "nano",
    device: str = "auto",
    dtype: str = "auto",
    offline: bool = False,
    progress: Progress | None = None,
    limits: Limits = LOCAL,
) -> LocalAssistant:
    """Load a model to talk to.

    name: "nano", a folder, or a hub id of a public checkpoint. device: auto, cpu, cuda. dtype: auto, float32,
    bfloat16, float16. offline: no network at all; what is missing is an error. progress: called with
    (stage, done, total), stages "downloading", "converting", "checking", "loading". limits: bounds of every
    answer.

    Raises ModelError: WeightsMissing, ChecksumMismatch, Unsupported.
    """
    source = resolve(name)
    wait_passively()
    if source.kind == "nano":
        return _load_nano(source, device, dtype, offline, progress, limits)
    return load_public(source, device, dtype, offline, progress, limits)


# -------------------------------------------------------------------------------------------------- nano


def _load_nano(
    source: Source, device: str, dtype: str, offline: bool, progress: Progress | None, limits: Limits
) -> LocalAssistant:
    config = read_nano_config(source)
    strange = (source.folder / FILE).is_file()
    backbone = nano_backbone(source, config, offline, progress)
    if progress is not None:
        progress("loading", 0, 1)

    from omnivmed.inference.torch_runtime import TorchRuntime
    from omnivmed.model.hardware import choose, use_physical_cores
    from omnivmed.model.load import build

    use_physical_cores()
    hardware = choose(device, dtype)
    model_config = nano_model_config(config, read_config(backbone))
    state = nano_state(source, config, backbone, hardware.dtype)
    model = build(model_config, state.items(), hardware.dtype, hardware.device)
    del state
    runtime = TorchRuntime(model, load_tokenizer(str(backbone / "tokenizer.json")), hardware.device)
    runtime.release_layers()
    if progress is not None:
        progress("loading", 1, 1)
    card = config["card"]
    name = "nano" if source.name == "nano" else f"nano ({source.name})"
    assistant = LocalAssistant(
        runtime,
        name=name,
        description=card["description"],
        trust=card["trust"],
        budget=VisionBudget(**config["budget"]),
        answers=card.get("answers"),
        questions=card.get("questions"),
        silent=card.get("silent"),
        follows=follows_of(card),
        knows=knows_of(name, card),
        familiar=load_familiar(source.folder / FILE) if strange else None,
        limits=limits,
    )
    assistant.artist = _artist(source, assistant, runtime)
    return assistant


def _artist(source: Source, assistant: LocalAssistant, runtime: TorchRuntime) -> Artist | None:
    """Who draws for this nano: the weights that ship, or those in `draw/` of its own folder; None without any.

    Their tensors are read when somebody draws. Weights that this program cannot use are as good as none, and logged.
    """
    from omnivmed.generation.loading import config_of, load_pipeline

    folder = nano_draw_dir() if source.name == "nano" else source.folder / "draw"
    try:
        config = config_of(folder)
        if config is None:
            return None
        abilities = abilities_of(config.card)
    except (ModelError, ValueError) as error:
        log.warning("drawing weights not usable: %s", error)
        return None

    def load() -> Drawer:
        # its keyword arguments are named one by one, which no Protocol with **settings accepts
        return cast(Drawer, load_pipeline(folder, runtime.model, runtime.decoder, runtime.tokenizer))

    return Artist(assistant.desk, load, abilities, config.version, assistant.limits)


def nano_backbone(source: Source, config: dict[str, Any], offline: bool, progress: Progress | None) -> Path:
    """Folder of nano's language model (config.json, model.safetensors, tokenizer.json), fetched where it has to be;
    nano's own files are verified first. Raises ModelError."""
    told = (FILE,) if (source.folder / FILE).is_file() else ()
    weights.verify_folder(source.folder, (*NANO_FILES, *told), NANO_ADVICE)
    backbone = weights.fetch_backbone(weights.SMOLLM2, offline=offline, progress=progress)
    if config["backbone"].get("gguf_sha256") != weights.SMOLLM2.gguf_sha256:
        raise ModelError(
            "ChecksumMismatch", f"This nano was trained on another language model. {NANO_ADVICE}"
        )
    return backbone


def nano_state(
    source: Source, config: dict[str, Any], backbone: Path, dtype: torch.dtype
) -> dict[str, torch.Tensor]:
    """Every tensor of nano by our parameter names, its adapter merged into the language model."""
    from safetensors.torch import load_file

    state = {f"model.language_model.{k[6:]}": v for k, v in load_file(backbone / "model.safetensors").items()}
    _adapt(state, load_file(source.folder / "lora.safetensors"), float(config["lora"]["scale"]), dtype)
    return state | load_file(source.folder / "encoder_projector.safetensors")


def _adapt(
    state: dict[str, torch.Tensor], lora: dict[str, torch.Tensor], scale: float, dtype: torch.dtype
) -> None:
    """Merge the adapter linear by linear, so that only one float32 copy exists at a time."""
    from omnivmed.model.load import merge_lora

    pairs: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in lora.items():
        pairs.setdefault(name.rpartition(".")[0], {})[name] = tensor
    for linear, pair in pairs.items():
        key = f"model.language_model.{linear}.weight"
        one = {key: state[key]} if key in state else {}
        merge_lora(one, pair, scale)
        state[key] = one[key].to(dtype)


def read_nano_config(source: Source) -> dict[str, Any]:
    """nano's config.json, checked against its closed schema. Raises ModelError when there is no trained nano."""
    config = read_config(source.folder)
    if not config:
        raise ModelError(
            "WeightsMissing",
            "The embedded model nano has no trained weights here (its folder is empty), and an untrained model "
            "gives no answers. Pruning and viewing work without it.",
        )
    if unknown := sorted(set(config) - NANO_KEYS):
        raise ModelError(
            "Unsupported", f"nano's config.json has an unknown entry: {unknown[0]}. {NANO_ADVICE}"
        )
    if config.get("format") != "omnivmed-nano/1":
        raise ModelError(
            "Unsupported", f"nano's config.json is of another version than this program. {NANO_ADVICE}"
        )
    if config.get("trained") is not True:
        raise ModelError(
            "WeightsMissing", "This nano has not been trained, and an untrained model gives no answers."
        )
    try:
        parts = (
            config["vision_config"],
            config["backbone"],
            config["lora"],
            config["budget"],
            config["card"],
        )
        if not all(isinstance(part, dict) for part in parts):
            raise TypeError
        card = config["card"]
        if not (isinstance(card["description"], str) and isinstance(card["trust"], str)):
            raise TypeError
        check_silent(card.get("silent", {}))
        check_silent(card.get("narrow", {}))
        float(config["lora"]["scale"])
        VisionBudget(**config["budget"])
    except (KeyError, TypeError, ValueError):
        raise ModelError("Unsupported", f"nano's config.json is incomplete. {NANO_ADVICE}") from None
    return config


def check_silent(silent: Any) -> None:
    """Raises ValueError unless ``silent`` names, by kind of study, attributes that this program can hold back.

    A name that it does not know would be a rule that is not kept.
    """
    if not isinstance(silent, dict) or set(silent) - {"image", "volume", "video"}:
        raise ValueError(silent)
    for names in silent.values():
        if not isinstance(names, list) or any(name not in ATTRIBUTES for name in names):
            raise ValueError(names)


def nano_model_config(config: dict[str, Any], backbone: dict[str, Any]) -> OmniVMedConfig:
    """The model's configuration from nano's config.json and the backbone's, both by the closed schema."""
    from omnivmed.model.config import OmniVMedConfig
    from omnivmed.model.schema import text_config, vision_config

    budget = VisionBudget(**config["budget"])
    text = {key: value for key, value in backbone.items() if key not in ("architectures", "dtype")}
    return OmniVMedConfig(
        text_config=text_config(text),
        vision_config=vision_config(config["vision_config"]),
        image_token_id=int(config["image_token_id"]),
        video_token_id=int(config["video_token_id"]),
        image_merge_size=budget.image_merge_size,
        video_merge_size=budget.video_merge_size,
        tie_word_embeddings=bool(backbone.get("tie_word_embeddings")),
    )
