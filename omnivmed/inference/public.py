"""Other checkpoints of this architecture: a converted folder, or a published one fetched from the hub.

What is read, and how it is trusted, is decided in `model.load` and `model.convert`: safetensors only, closed
configuration schema, sha256 of every file checked before each load, no code of the checkpoint ever run.
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

from omnivmed import weights
from omnivmed.errors import ModelError
from omnivmed.inference.engine import LocalAssistant
from omnivmed.inference.tokenizer import load_tokenizer
from omnivmed.limits import Limits
from omnivmed.progress import Progress
from omnivmed.spoken.reply import Knows
from omnivmed.vision import DEFAULT_BUDGET, VisionBudget
from omnivmed.weights.names import PUBLIC, Source, read_config

WANTED_FILES = ["config.json", "preprocessor_config.json", "*.safetensors", "*.safetensors.index.json"]
WANTED_FILES += ["tokenizer.json"]
UNKNOWN_TRUST = "Nothing is known here about what this model answers well; compare before you believe it."


def load_public(
    source: Source, device: str, dtype: str, offline: bool, progress: Progress | None, limits: Limits
) -> LocalAssistant:
    """Load a folder in this program's format, or a hub checkpoint (converted on first use). Raises ModelError."""
    folder = _from_hub(source, offline, progress) if source.kind == "hub" else source.folder
    kind = str(read_config(folder).get("format", ""))
    if not kind.startswith("omnivmed"):
        raise ModelError(
            "Unsupported",
            f"{source.name} is not in this program's format. If it is a published checkpoint, convert it first: "
            f"python -m omnivmed convert {source.name} NEW_FOLDER",
        )
    if kind.startswith("omnivmed-encoder"):
        raise ModelError("Unsupported", f"{source.name} holds an encoder alone, which cannot answer.")
    if not (folder / "tokenizer.json").is_file():
        raise ModelError("WeightsMissing", f"{source.name} has no tokenizer.json.")
    if progress is not None:
        progress("loading", 0, 1)
    from omnivmed.inference.torch_runtime import TorchRuntime
    from omnivmed.model.hardware import choose, use_physical_cores
    from omnivmed.model.load import load_pretrained
    from omnivmed.model.schema import check_placeholders, vision_budget

    use_physical_cores()
    hardware = choose(device, dtype)
    budget = vision_budget(read_config(folder))
    model = load_pretrained(folder, hardware.dtype, hardware.device)
    check_placeholders(model.config)
    runtime = TorchRuntime(model, load_tokenizer(str(folder / "tokenizer.json")), hardware.device)
    runtime.release_layers()
    if progress is not None:
        progress("loading", 1, 1)
    return LocalAssistant(
        runtime,
        name=source.name,
        description=PUBLIC.get(source.name, "a checkpoint chosen by you"),
        trust=UNKNOWN_TRUST,
        knows=Knows(source.name, PUBLIC.get(source.name, "a checkpoint chosen by you"), UNKNOWN_TRUST),
        budget=budget or default_budget(model.config.image_merge_size, model.config.video_merge_size),
        limits=limits,
    )


def default_budget(image_merge_size: int, video_merge_size: int) -> VisionBudget:
    """The public checkpoints' budget: that of a folder which does not name its own."""
    return dataclasses.replace(
        DEFAULT_BUDGET, image_merge_size=image_merge_size, video_merge_size=video_merge_size
    )


def _from_hub(source: Source, offline: bool, progress: Progress | None) -> Path:
    """Folder of a converted hub checkpoint in the cache; fetched and converted first when it is not there."""
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
        try:
            snapshot_download(source.name, allow_patterns=WANTED_FILES, local_dir=name, etag_timeout=10)
        except Exception:  # errors of several libraries, all meaning that it could not be fetched
            raise ModelError(
                "WeightsMissing",
                f"{missing} and could not be fetched from the hub. Check the name and the network.",
            ) from None
        from omnivmed.model.convert import convert

        convert(Path(name), folder, progress)
    return folder
