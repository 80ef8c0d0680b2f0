"""A folder of drawing weights: `config.json`, `autoencoder.safetensors`, `expert.safetensors`, `manifest.json`, and
`editors.safetensors` where tasks have an expert of their own.

Only this module knows the names of the files. Checksums are verified before a tensor is read; nothing is unpickled.
`card_of` answers without torch, so that an app can say what could be drawn before anything is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnivmed import weights
from omnivmed.errors import ModelError
from omnivmed.generation.config import DrawConfig, parse
from omnivmed.weights.names import read_config

if TYPE_CHECKING:
    import torch

    from omnivmed.generation.autoencoder import Autoencoder
    from omnivmed.generation.editor import Editor
    from omnivmed.generation.expert import Expert
    from omnivmed.generation.pipeline import DrawPipeline
    from omnivmed.model.modeling import OmniVMedForConditionalGeneration

FILES = ("config.json", "autoencoder.safetensors", "expert.safetensors")
EDITORS_FILE = "editors.safetensors"
"""All editing experts, each tensor's name behind its task and a point."""
ADVICE = "Get the repository or install the package again."


def config_of(folder: Path) -> DrawConfig | None:
    """What a folder of drawing weights says of itself; None where there are none. Raises ModelError("Unsupported")."""
    values = read_config(folder)
    return parse(values) if values else None


def card_of(folder: Path) -> Mapping[str, Any] | None:
    """The card of the drawing weights in a folder; None where there are none."""
    config = config_of(folder)
    return None if config is None else config.card


def load_parts(
    folder: Path, config: DrawConfig, dtype: torch.dtype | None = None
) -> tuple[Expert, Autoencoder]:
    """Expert and autoencoder, verified. Raises ModelError: WeightsMissing, ChecksumMismatch, Unsupported."""
    import torch
    from safetensors.torch import load_file

    from omnivmed.generation.autoencoder import Autoencoder
    from omnivmed.generation.expert import Expert

    weights.verify_folder(folder, FILES, ADVICE)
    parts: list[torch.nn.Module] = []
    for part, file in ((Expert(config.expert), FILES[2]), (Autoencoder(config.autoencoder), FILES[1])):
        tensors = {k: v.to(dtype or torch.float32) for k, v in load_file(folder / file).items()}
        try:
            part.load_state_dict(tensors)
        except RuntimeError:
            raise ModelError(
                "Unsupported", f"The drawing weights in {file} do not fit their configuration. {ADVICE}"
            ) from None
        parts.append(part)
    expert, autoencoder = parts
    assert isinstance(expert, Expert)
    assert isinstance(autoencoder, Autoencoder)
    return expert, autoencoder


def load_editors(folder: Path, config: DrawConfig, dtype: torch.dtype | None = None) -> dict[str, Editor]:
    """The editing experts by task, verified; none where the configuration names none. Raises as `load_parts`."""
    if not config.editors:
        return {}
    import torch
    from safetensors.torch import load_file

    from omnivmed.generation.editor import Editor

    weights.verify_folder(folder, (EDITORS_FILE,), ADVICE)
    held = load_file(folder / EDITORS_FILE)
    out = {}
    try:
        for task, one in config.editors.items():
            editor, start = Editor(one), f"{task}."
            editor.load_state_dict(
                {
                    name.removeprefix(start): tensor.to(dtype or torch.float32)
                    for name, tensor in held.items()
                    if name.startswith(start)
                }
            )
            out[task] = editor
    except RuntimeError:
        raise ModelError(
            "Unsupported", f"The weights in {EDITORS_FILE} do not fit their configuration. {ADVICE}"
        ) from None
    return out


def load_pipeline(
    folder: Path,
    model: OmniVMedForConditionalGeneration,
    decoder: Any,
    tokenizer: Any,
    base: str = "nano",
) -> DrawPipeline:
    """The pipeline of a folder of weights, on an understanding model with its fast decoder.

    base: the model's name; an expert reads only the model it was trained on. Raises ModelError: WeightsMissing,
    ChecksumMismatch, Unsupported.
    """
    from omnivmed.generation.pipeline import DrawPipeline
    from omnivmed.generation.prefix import DecoderReader

    config = config_of(folder)
    if config is None:
        raise ModelError("WeightsMissing", f"There are no drawing weights here. {ADVICE}")
    if config.base != base:
        raise ModelError(
            "Unsupported", f"These drawing weights belong to the model {config.base}, not to {base}."
        )
    expert, autoencoder = load_parts(folder, config)
    editors = load_editors(folder, config)
    try:
        reader = DecoderReader(model, decoder, tokenizer, config.expert.layers)
        return DrawPipeline(config, expert, autoencoder, reader, editors)
    except ValueError as error:
        raise ModelError("Unsupported", f"Drawing does not work with this model: {error}.") from None
