"""Other checkpoints of this architecture: a converted folder, or a published one fetched from the hub.

safetensors only; the configuration is checked against a closed schema and the model is built from classes named
here, whatever the configuration says. What was fetched gets a manifest of sha256 sums, checked before each load.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnivmed import weights
from omnivmed.errors import ModelError
from omnivmed.inference.engine import Assistant
from omnivmed.limits import Limits
from omnivmed.registry import PUBLIC, Source, read_config
from omnivmed.vision import DEFAULT_BUDGET

if TYPE_CHECKING:
    from omnivmed.model.config import OmniVMedConfig

Progress = Callable[[str, int, int], None]

OURS = ("omnivmed", "video_llama_3")
PUBLISHED = ("videollama3_qwen2", "hulumed_qwen2")
WANTED_FILES = [
    "config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "tokenizer*.json",
    "vocab.json",
    "merges.txt",
]
TOP_KEYS = frozenset(
    {
        "architectures",
        "bos_token_id",
        "dtype",
        "eos_token_id",
        "image_merge_size",
        "image_token_id",
        "model_type",
        "pad_token_id",
        "text_config",
        "tie_word_embeddings",
        "torch_dtype",
        "transformers_version",
        "video_merge_size",
        "video_token_id",
        "vision_config",
    }
)
UNKNOWN_TRUST = "Nothing is known here about what this model answers well; compare before you believe it."


def load_public(
    source: Source, device: str, dtype: str, offline: bool, progress: Progress | None, limits: Limits
) -> Assistant:
    """Load a folder in this program's format, or a hub checkpoint (converted on first use). Raises ModelError."""
    folder = _from_hub(source, offline, progress) if source.kind == "hub" else source.folder
    config = read_config(folder)
    kind = config.get("model_type")
    if kind in PUBLISHED:
        raise ModelError(
            "Unsupported",
            f"This is a published checkpoint; convert it first: python -m omnivmed convert {source.name} NEW_FOLDER",
        )
    if kind not in OURS:
        raise ModelError("Unsupported", f"{source.name} holds no model of this architecture.")
    files = _tensor_files(folder)
    if (folder / weights.MANIFEST).is_file():
        weights.verify_folder(folder, ("config.json", *files), "Get the model again.")
    tokenizer_file = folder / "tokenizer.json"
    if not tokenizer_file.is_file():
        raise ModelError("WeightsMissing", f"{source.name} has no tokenizer.json.")
    from safetensors.torch import load_file

    from omnivmed.inference.hardware import choose, use_physical_cores
    from omnivmed.inference.loading import build, load_tokenizer
    from omnivmed.inference.torch_runtime import TorchRuntime

    use_physical_cores()
    hardware = choose(device, dtype)
    model_config = checked_config(config)
    state = {}
    for done, name in enumerate(files):
        if progress is not None:
            progress("loading", done, len(files))
        for key, tensor in load_file(folder / name).items():
            state[key] = tensor.to(hardware.device, hardware.dtype)
    runtime = TorchRuntime(
        build(model_config, state, hardware), load_tokenizer(str(tokenizer_file)), hardware.device
    )
    return Assistant(
        runtime,
        name=source.name,
        description=PUBLIC.get(source.name, "a checkpoint chosen by you"),
        trust=UNKNOWN_TRUST,
        budget=dataclasses.replace(
            DEFAULT_BUDGET,
            image_merge_size=model_config.image_merge_size,
            video_merge_size=model_config.video_merge_size,
        ),
        limits=limits,
    )


def checked_config(config: dict[str, Any]) -> OmniVMedConfig:
    """The configuration object, after every key was found in the closed schema. Raises ModelError otherwise."""
    from transformers import LlamaConfig, Qwen2Config, Qwen3Config
    from transformers.models.video_llama_3.configuration_video_llama_3 import VideoLlama3VisionConfig

    from omnivmed.model.config import OmniVMedConfig

    texts: dict[str, Any] = {"llama": LlamaConfig, "qwen2": Qwen2Config, "qwen3": Qwen3Config}
    _refuse_unknown(set(config) - TOP_KEYS)
    text, vision = config.get("text_config"), config.get("vision_config")
    if not isinstance(text, dict) or not isinstance(vision, dict):
        raise ModelError("Unsupported", "The model's config.json lacks text_config or vision_config.")
    if text.get("model_type") not in texts:
        raise ModelError(
            "Unsupported", f"Language models of type {text.get('model_type')} are not supported."
        )
    text_class = texts[text["model_type"]]
    built = []
    for part, cls in ((text, text_class), (vision, VideoLlama3VisionConfig)):
        _refuse_unknown(
            set(part) - {key for key in cls().to_dict() if not key.startswith("_")} - {"torch_dtype"}
        )
        built.append(
            cls(**{k: v for k, v in part.items() if k not in ("architectures", "dtype", "torch_dtype")})
        )
    top = {k: config[k] for k in config if k.endswith(("_merge_size", "_token_id", "_embeddings"))}
    try:
        return OmniVMedConfig(text_config=built[0], vision_config=built[1], **top)
    except (TypeError, ValueError) as error:
        raise ModelError(
            "Unsupported", f"The model's config.json holds a value of the wrong kind: {error}."
        ) from None


def _refuse_unknown(keys: set[str]) -> None:
    if keys:
        raise ModelError(
            "Unsupported", f"The model's config.json has an unknown entry, {min(keys)}; it was refused."
        )


def _tensor_files(folder: Path) -> list[str]:
    """Names of the safetensors files; an index may only name files of this folder."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, AttributeError, TypeError):
            raise ModelError("Unsupported", "The list of the model's weight files cannot be read.") from None
    else:
        names = sorted(path.name for path in folder.glob("*.safetensors"))
    if not names:
        raise ModelError(
            "WeightsMissing", "There are no safetensors files in this model; other formats are not read."
        )
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise ModelError("Unsupported", "The list of the model's weight files names something else.")
        if not (folder / name).is_file():
            raise ModelError("WeightsMissing", f"The model's weight file {name} is missing.")
    return names


def convert_folder(source: Path, target: Path, progress: Progress | None = None) -> None:
    """Published checkpoint → a new folder in this program's format, with manifest; whole or not at all."""
    from omnivmed.model.convert import convert_checkpoint

    config = read_config(source)
    if config.get("model_type") not in PUBLISHED:
        raise ModelError(
            "Unsupported",
            f"Only checkpoints of type {' or '.join(PUBLISHED)} are converted; this one says "
            f"{config.get('model_type') or 'nothing'}.",
        )
    _tensor_files(source)
    with tempfile.TemporaryDirectory(dir=target.absolute().parent, prefix=".convert-") as name:
        built = Path(name) / "built"
        built.mkdir()
        try:
            convert_checkpoint(source, built, progress)
        except (KeyError, ValueError) as error:
            raise ModelError("Unsupported", f"This checkpoint cannot be converted: {error}.") from None
        if (source / "tokenizer.json").is_file() and not (built / "tokenizer.json").exists():
            shutil.copyfile(source / "tokenizer.json", built / "tokenizer.json")
        weights.write_manifest(built, sorted(path.name for path in built.iterdir()))
        os.replace(built, target)


def _from_hub(source: Source, offline: bool, progress: Progress | None) -> Path:
    """Folder of a hub checkpoint in the cache; fetched and, where needed, converted first."""
    folder = source.folder
    if (folder / weights.MANIFEST).is_file():
        return folder
    missing = f"The model {source.name} is not on this machine"
    if offline:
        raise ModelError("WeightsMissing", f"{missing}, and --offline forbids fetching it.")
    from huggingface_hub import snapshot_download

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelError(
            "WeightsMissing", f"The cache folder cannot be written ({error.strerror}); set OMNIVMED_CACHE."
        ) from None
    if progress is not None:
        progress("downloading", 0, 1)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetch-") as name:
        fetched = Path(name) / "fetched"
        try:
            snapshot_download(source.name, allow_patterns=WANTED_FILES, local_dir=fetched, etag_timeout=10)
        except Exception:  # errors of several libraries, all meaning that it could not be fetched
            raise ModelError(
                "WeightsMissing",
                f"{missing} and could not be fetched from the hub. Check the name and the network.",
            ) from None
        if read_config(fetched).get("model_type") in PUBLISHED:
            convert_folder(fetched, folder, progress)
        else:
            _tensor_files(fetched)
            shutil.rmtree(fetched / ".cache", ignore_errors=True)
            weights.write_manifest(fetched, sorted(path.name for path in fetched.iterdir() if path.is_file()))
            os.replace(fetched, folder)
    return folder
