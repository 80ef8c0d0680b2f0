"""Words, or words and a picture, to a stamped picture. The array never leaves: what comes out is `GeneratedImage`.

A pipeline is a reader of prompts, an expert, an autoencoder and a card. It draws at the autoencoder's size. A picture
that is to be changed is padded to a square and brought to that size first.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from omnivmed.errors import ModelError
from omnivmed.generation.abilities import Abilities, Task, abilities_of
from omnivmed.generation.autoencoder import Autoencoder
from omnivmed.generation.changes import Change, change_of
from omnivmed.generation.config import DrawConfig
from omnivmed.generation.editor import Editor
from omnivmed.generation.expert import Expert
from omnivmed.generation.flow import Renorm
from omnivmed.generation.prefix import Reader
from omnivmed.generation.result import CounterfactualResult, GeneratedImage, preview, stamp
from omnivmed.generation.sampling import Settings, denoise

Callback = Callable[[int, int, Callable[[], bytes]], object]
"""Called after every step with (steps done, all steps, a function that makes a stamped JPEG of the picture so far).
What it raises ends the drawing."""
COARSE = 4
"""Super-resolution begins with a picture this many times smaller."""
EDIT_INTERVAL = (0.0, 1.0)
"""Times at which a change is guided: all of them (BAGEL)."""


@dataclass(frozen=True)
class _Work:
    """One picture to be made: what is asked, from what, and how."""

    prompt: str
    task: Task
    settings: Settings
    seed: int
    given: np.ndarray | None = None
    sha256: str | None = None


class DrawPipeline:
    """Draws and changes pictures. One thread at a time.

    reader: turns prompts into the understanding model's keys and values. editors: of each task that has an expert of
    its own; a change without one is drawn from noise by `expert`. Raises ValueError for a card that does not say what
    the weights can do.
    """

    def __init__(
        self,
        config: DrawConfig,
        expert: Expert,
        autoencoder: Autoencoder,
        reader: Reader,
        editors: Mapping[str, Editor] | None = None,
    ) -> None:
        self.config, self.reader = config, reader
        self.editors = {task: one.train(False).requires_grad_(False) for task, one in (editors or {}).items()}
        self.expert = expert.train(False).requires_grad_(False)
        self.autoencoder = autoencoder.train(False).requires_grad_(False)
        self.abilities: Abilities = abilities_of(config.card)

    @property
    def model_id(self) -> str:
        """Name and version of the weights."""
        return self.config.version

    @property
    def side(self) -> int:
        """Pixels of an edge."""
        return self.config.autoencoder.side

    # ------------------------------------------------------------------------------------------------ outside

    def generate_image(
        self,
        prompt: str,
        image: np.ndarray | None = None,
        *,
        modality: str | None = None,
        steps: int | None = None,
        cfg_text: float | None = None,
        cfg_image: float | None = None,
        cfg_interval: tuple[float, float] | None = None,
        renorm: Renorm = "global",
        shift: float = 3.0,
        seed: int | None = None,
        size: int | None = None,
        think: bool = False,
        task: Task | None = None,
        callback: Callback | None = None,
    ) -> GeneratedImage:
        """A picture from words; or `image` (uint8 (H, W[, 3])) in more detail or in another MR sequence, as they say.

        modality: said behind the prompt where the prompt leaves it out. steps, cfg_text, cfg_image: by default those
        that the weights were scored with. seed: None draws one; the result names it. size: pixels of an edge, only the
        autoencoder's. think: a plan before the picture, which no weights here can write. task: by default read from the
        instruction. Raises ModelError("Unsupported") for what the weights were not trained for, ValueError for an
        array or number that makes no sense.
        """
        if think:
            raise ModelError("Unsupported", "These drawing weights were not trained to write a plan first.")
        if size not in (None, self.side):
            raise ModelError("Unsupported", f"These weights draw at {self.side} pixels, not {size}.")
        if modality and modality.lower() not in prompt.lower():
            prompt = f"{prompt}, {modality}"
        kind = task or ("text_to_image" if image is None else self._task(prompt))
        work = self._work(prompt, image, kind, steps, cfg_text, cfg_image, cfg_interval, renorm, shift, seed)
        if kind == "counterfactual":
            return self._counterfactual(work, callback).image
        if kind in self.editors:
            assert work.given is not None
            pixels = added_to(work.given, self._added(work, callback))
        else:
            pixels = self._pixels(self._latents(work, callback))
        text = ""
        if kind == "super_resolution":
            small = self.side // COARSE
            text = f"The given picture was reduced to {small} x {small} pixels; all finer detail is the model's guess."
        if kind == "translation":
            text = (
                "Worked out from this one slice: what only the other sequence would have shown is not in it, and a "
                "lesion or contrast agent that appears is the model's guess."
            )
        return self._stamped(work, pixels, text)

    def counterfactual(
        self,
        image: np.ndarray,
        instruction: str,
        *,
        steps: int | None = None,
        cfg_text: float | None = None,
        cfg_image: float | None = None,
        cfg_interval: tuple[float, float] | None = None,
        renorm: Renorm = "global",
        shift: float = 3.0,
        seed: int | None = None,
        callback: Callback | None = None,
    ) -> CounterfactualResult:
        """`image` (uint8 (H, W[, 3])) with a finding added or taken away, and where and how it differs.

        Only what the model changes is put onto the given picture, so the autoencoder's blur is no difference. Settings
        and errors as of `generate_image`.
        """
        work = self._work(
            instruction,
            image,
            "counterfactual",
            steps,
            cfg_text,
            cfg_image,
            cfg_interval,
            renorm,
            shift,
            seed,
        )
        return self._counterfactual(work, callback)

    def square(self, image: np.ndarray) -> np.ndarray:
        """A picture as it is changed: uint8 (H, W[, 3]) → (side, side, 3), padded with black. Raises ValueError."""
        if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
            raise ValueError(f"expected uint8 (H, W) or (H, W, 3), got {image.dtype} {image.shape}")
        height, width = image.shape[:2]
        most = max(height, width)
        top, left = (most - height) // 2, (most - width) // 2
        framed = cv2.copyMakeBorder(
            image, top, most - height - top, left, most - width - left, cv2.BORDER_CONSTANT, value=0
        )
        how = cv2.INTER_AREA if most > self.side else cv2.INTER_CUBIC
        out = cv2.resize(framed, (self.side, self.side), interpolation=how)
        return np.repeat(out[..., None], 3, -1) if out.ndim == 2 else np.asarray(out)

    # ------------------------------------------------------------------------------------------------- inside

    def _task(self, instruction: str) -> Task:
        words = instruction.lower()
        if any(name in words for name in ("t1", "t2", "flair")):
            return "translation"
        if any(name in words for name in ("opacity", "nodule")):
            return "counterfactual"
        return "super_resolution"

    def _work(
        self,
        prompt: str,
        image: np.ndarray | None,
        task: Task,
        steps: int | None,
        cfg_text: float | None,
        cfg_image: float | None,
        cfg_interval: tuple[float, float] | None,
        renorm: Renorm,
        shift: float,
        seed: int | None,
    ) -> _Work:
        if task not in self.abilities.tasks:
            raise ModelError("Unsupported", f"These weights were not trained for {task.replace('_', ' ')}.")
        scored = self.config.card.get("settings", {}).get(task, {})
        settings = Settings(**({"steps": self.abilities.steps, "renorm": renorm, "shift": shift} | scored))
        if task != "text_to_image":
            settings = replace(settings, cfg_interval=EDIT_INTERVAL)
        asked: dict[str, Any] = {
            "steps": steps,
            "cfg_text": cfg_text,
            "cfg_image": cfg_image,
            "cfg_interval": cfg_interval,
        }
        settings = replace(settings, **{name: value for name, value in asked.items() if value is not None})
        if task in self.editors:  # one step, no noise, nothing to guide
            settings = replace(settings, steps=1, cfg_text=1.0, cfg_image=1.0)
        seed = secrets.randbelow(2**31) if seed is None else int(seed)
        if image is None:
            return _Work(prompt, task, settings, seed)
        sha256 = hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()
        given = self.square(image)
        if task == "super_resolution":
            small = (self.side // COARSE,) * 2
            reduced = cv2.resize(given, small, interpolation=cv2.INTER_AREA)
            given = np.asarray(cv2.resize(reduced, (self.side,) * 2, interpolation=cv2.INTER_CUBIC))
        return _Work(prompt, task, settings, seed, given, sha256)

    def _steps(self, work: _Work) -> Iterator[tuple[int, Tensor]]:
        config = self.config.autoencoder
        generator = torch.Generator().manual_seed(work.seed)
        noise = torch.randn(1, config.channels, config.grid, config.grid, generator=generator)
        condition = None if work.given is None else self._encoded(work.given)
        prompt, empty = self.reader.read(work.prompt), self.reader.read("")
        return denoise(self.expert, noise, prompt, empty, work.settings, condition)

    def _latents(self, work: _Work, callback: Callback | None) -> Tensor:
        x0: Tensor | None = None
        for done, x0 in self._steps(work):
            if callback is not None:
                callback(done, work.settings.steps, lambda now=x0: self._preview(now, work.task))  # type: ignore[misc]
        assert x0 is not None
        return x0

    @torch.inference_mode()
    def _encoded(self, picture: np.ndarray) -> Tensor:
        return self.autoencoder.encode(_to_tensor(picture))

    @torch.inference_mode()
    def _pixels(self, z: Tensor) -> np.ndarray:
        """Latents (1, C, g, g) → uint8 (side, side, 3); a picture with hardly any colour is made grey."""
        return _to_uint8(self.autoencoder.decode(z))

    @torch.inference_mode()
    def _preview(self, z: Tensor, task: Task) -> bytes:
        return preview(_to_uint8(self.autoencoder.linear(z)), self.model_id, edited=task != "text_to_image")

    def _added(self, work: _Work, callback: Callback | None) -> np.ndarray:
        """What the task's own expert adds to the given picture: float32 (side, side, 3) in grey levels."""
        given = work.given
        assert given is not None
        with torch.inference_mode():
            prefix = self.reader.read(work.prompt)
            added = self.editors[work.task](_to_tensor(given), prefix)[0].permute(1, 2, 0).numpy() * 127.5
        if callback is not None:
            callback(1, 1, lambda: preview(added_to(given, added), self.model_id, edited=True))
        return np.asarray(added, np.float32)

    def _trusted(self, before: np.ndarray, levels: np.ndarray, task: str) -> np.ndarray:
        """The change without what was not measured to be right. Raises ModelError("Unsupported") if that is most."""
        if self.editors[task].config.lets_through == "both":
            return levels
        change = change_of(before, levels)
        if not change.no_change and float(levels[change.mask].mean()) > 0:
            raise ModelError(
                "Unsupported",
                "These weights can take an opacity away; putting one in was not right often enough and is held back.",
            )
        darker: np.ndarray = np.minimum(levels, 0)
        return darker

    @torch.inference_mode()
    def _counterfactual(self, work: _Work, callback: Callback | None) -> CounterfactualResult:
        assert work.given is not None
        before = work.given
        if work.task in self.editors:
            levels = self._trusted(before, self._added(work, callback).mean(-1), work.task)
        else:
            z = self._latents(work, callback)
            difference = (self.autoencoder.decode(z) - self.autoencoder.decode(self._encoded(before)))[0]
            levels = difference.mean(0).numpy() * 127.5
        change: Change = change_of(before, levels)
        image = self._stamped(work, change.after, change.sentence)
        return CounterfactualResult(image, before, change.difference_map, change.sentence, change.no_change)

    def _stamped(self, work: _Work, pixels: np.ndarray, text: str) -> GeneratedImage:
        return stamp(
            pixels,
            prompt=work.prompt,
            seed=work.seed,
            model_id=self.model_id,
            params={"task": work.task, **asdict(work.settings)},
            edited=work.given is not None,
            text=text,
            source_sha256=work.sha256,
        )


GREY_SPREAD = 12.0
"""Mean spread of the three channels, in grey levels, below which a picture is a grey one."""


def added_to(given: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """uint8 (..., H, W, 3) with float grey levels of the same shape on it. What is grey stays grey."""
    held = given.astype(np.float32)
    grey = (given.max(-1) == given.min(-1)).all(axis=(-2, -1))[..., None, None, None]
    levels = np.where(grey, levels.mean(-1, keepdims=True), levels)
    return np.asarray(np.clip(held + levels, 0, 255).round().astype(np.uint8))


def _to_tensor(picture: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float() / 127.5 - 1


def _to_uint8(pixels: Tensor) -> np.ndarray:
    out = ((pixels[0].permute(1, 2, 0).float().clamp(-1, 1) + 1) * 127.5).round().numpy()
    if float((out.max(-1) - out.min(-1)).mean()) < GREY_SPREAD:
        out = np.repeat(out.mean(-1, keepdims=True).round(), 3, -1)
    return out.astype(np.uint8)
