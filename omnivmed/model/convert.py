"""Public checkpoints → our folder: `python -m omnivmed convert SRC DST`.

Reads `config.json` and `*.safetensors` of SRC, one tensor at a time, and writes DST with `config.json` (closed
schema), `model-*.safetensors`, `tokenizer.json` as it is, and `manifest.json` with the sha256 of each. All names and
shapes are compared with what the configuration asks for before the first byte is written; a tensor or a setting that
is not known is an error. Layouts: see `layouts.py`. No code of SRC is run, and pickled weights are refused.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from omnivmed import weights
from omnivmed.errors import ModelError
from omnivmed.model.layouts import is_encoder, layout_of, map_key, translate
from omnivmed.model.load import expected_shapes
from omnivmed.model.save import write_config, write_shards
from omnivmed.model.schema import (
    ENCODER_FORMAT,
    MODEL_FORMAT,
    encoder_config,
    encoder_json,
    model_config,
    model_json,
)
from omnivmed.progress import Progress

INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class Conversion:
    """What was done: `layout` of the source, `format` written, `tensors` and `bytes` written, and the names of
    settings and tensors that have no place in our format."""

    layout: str
    format: str
    tensors: int
    bytes: int
    dropped_settings: tuple[str, ...]
    dropped_tensors: tuple[str, ...]
    has_tokenizer: bool


def convert(
    src: Path | str, dst: Path | str, progress: Progress | None = None, drop: Sequence[str] = ()
) -> Conversion:
    """Convert a checkpoint folder; DST must not exist and appears only when complete.

    progress: called with ("converting", tensors done, tensors in all). The stored precision is kept. drop: settings
    of config.json, at its top or in a part of it, that are left out unread: fine-tunes carry some that change
    nothing here (`model_max_length`). Whoever names one vouches for that.
    Raises ModelError("Unsupported" | "WeightsMissing" | "ChecksumMismatch"), FileExistsError when DST exists.
    """
    source, target = Path(src), Path(dst)
    if target.exists():
        raise FileExistsError(f"{target.name} exists already; name a new folder")
    config, left_out = without(_read_json(source / "config.json"), drop)
    layout = layout_of(config)
    settings, dropped_settings = translate(config)
    _check_pixels(source)
    origin = {"layout": layout, "model_type": str(config.get("model_type"))}
    if is_encoder(layout):
        vision = encoder_config({"format": ENCODER_FORMAT, **settings})
        values, shapes = encoder_json(vision, origin), expected_shapes(None, vision)
    else:
        model = model_config({"format": MODEL_FORMAT, **settings})
        values, shapes = model_json(model, origin), expected_shapes(model)
    plan, dropped_tensors = _plan(source, layout, shapes)

    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # an interrupted attempt
    partial.mkdir()
    try:
        size = write_shards(partial, _read(source, plan, progress))
        write_config(partial, values)
        has_tokenizer = (source / "tokenizer.json").is_file()
        if has_tokenizer:
            _read_json(source / "tokenizer.json")  # is JSON at all
            shutil.copyfile(source / "tokenizer.json", partial / "tokenizer.json")
        weights.write_manifest(partial, sorted(p.name for p in partial.iterdir()), source=origin)
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return Conversion(
        layout,
        values["format"],
        len(plan),
        size,
        tuple(sorted({*dropped_settings, *left_out})),
        tuple(dropped_tensors),
        has_tokenizer,
    )


def without(config: dict[str, Any], drop: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """(the settings without those named, also inside its parts; the names that were there).

    Raises ModelError for a name that stands nowhere: a misspelt one would drop nothing in silence.
    """
    parts = [config, *(part for part in config.values() if isinstance(part, dict))]
    if missing := [name for name in drop if not any(name in part for part in parts)]:
        raise ModelError("Unsupported", f"There is no setting {', '.join(missing)} in config.json to drop.")

    def cut(part: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in part.items() if name not in drop}

    return {k: cut(v) if isinstance(v, dict) else v for k, v in cut(config).items()}, list(drop)


def _plan(
    source: Path, layout: Any, shapes: dict[str, tuple[int, ...]]
) -> tuple[list[tuple[str, str, str]], list[str]]:
    """Return [(file, their name, our name)] in file order and the dropped names, after checking all of them."""
    plan: list[tuple[str, str, str]] = []
    dropped: list[str] = []
    found: set[str] = set()
    for file in _shards(source):
        with _opened(source / file) as reader:
            for name in reader.keys():  # noqa: SIM118 - not a dict
                ours = map_key(layout, name)
                if ours is None or (ours == "lm_head.weight" and ours not in shapes):  # tied: stored twice
                    dropped.append(name)
                    continue
                if ours not in shapes:
                    raise ModelError("Unsupported", f'The checkpoint holds an unknown tensor "{name}".')
                if ours in found:
                    raise ModelError("Unsupported", f'The checkpoint holds the tensor "{name}" twice.')
                shape = tuple(reader.get_slice(name).get_shape())
                if shape != shapes[ours]:
                    raise ModelError(
                        "Unsupported",
                        f'The tensor "{name}" is {shape}, but the configuration asks for {shapes[ours]}.',
                    )
                found.add(ours)
                plan.append((file, name, ours))
    if missing := sorted(set(shapes) - found):
        raise ModelError(
            "WeightsMissing", f'The checkpoint lacks {len(missing)} tensor(s), first "{missing[0]}".'
        )
    return plan, dropped


def _shards(source: Path) -> list[str]:
    """Return the weight files, from the index where there is one."""
    if (source / INDEX).is_file():
        listed = _read_json(source / INDEX).get("weight_map")
        if not isinstance(listed, dict) or not all(isinstance(v, str) for v in listed.values()):
            raise ModelError("Unsupported", "The index of the weight files cannot be read.")
        names = sorted(set(listed.values()))
        if any(Path(n).name != n or not n.endswith(".safetensors") for n in names):
            raise ModelError(
                "Unsupported", "The index names files that are no safetensors files of this folder."
            )
        if missing := [n for n in names if not (source / n).is_file()]:
            raise ModelError("WeightsMissing", f"The weight file {missing[0]} is missing; download it again.")
        return names
    names = sorted(p.name for p in source.glob("*.safetensors"))
    if names:
        return names
    if any(source.glob("*.bin")) or any(source.glob("*.pt*")):
        raise ModelError(
            "Unsupported",
            "The weights are pickled, and opening them could run code. Get the safetensors files.",
        )
    raise ModelError("WeightsMissing", "There are no weight files (*.safetensors) in this folder.")


def _read(
    source: Path, plan: list[tuple[str, str, str]], progress: Progress | None
) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield (our name, tensor) one by one."""
    reader: Any = None
    opened = ""
    for done, (file, theirs, ours) in enumerate(plan):
        if file != opened:
            reader, opened = _opened(source / file), file
        tensor = reader.get_tensor(theirs)
        if not tensor.is_floating_point():
            raise ModelError(
                "Unsupported", f'The tensor "{theirs}" is quantised; get the full-precision checkpoint.'
            )
        yield ours, tensor
        if progress is not None:
            progress("converting", done + 1, len(plan))


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise ModelError(
            "ChecksumMismatch", f"The weight file {path.name} is damaged; download it again."
        ) from error


def _check_pixels(source: Path) -> None:
    """Refuse a checkpoint that wants other pixels than [-1, 1]."""
    path = source / "preprocessor_config.json"
    if not path.is_file():
        return
    values = _read_json(path)
    for name in ("image_mean", "image_std"):
        if any(abs(v - 0.5) > 1e-6 for v in values.get(name) or []):
            raise ModelError(
                "Unsupported",
                f"The checkpoint wants pixels with {name} {values[name]}; this program has 0.5.",
            )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError("WeightsMissing", f"There is no {path.name} in this folder.") from None
    except (OSError, ValueError):
        values = None
    if not isinstance(values, dict):
        raise ModelError("Unsupported", f"{path.name} cannot be read; it is no JSON object.")
    return values
