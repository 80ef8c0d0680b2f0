"""The parts of a drawing model, ready to be measured in batches: autoencoder, expert, prefixes of prompts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from omnivmed.generation.autoencoder import Autoencoder
from omnivmed.generation.editor import Editor
from omnivmed.generation.expert import Expert
from omnivmed.generation.loading import config_of, load_editors, load_parts
from omnivmed.generation.prefix import Prefix
from omnivmed.generation.sampling import Settings, denoise
from train.draw.data.prompts import PromptBook
from train.draw.fit.decoder import to_tensor


@dataclass(frozen=True)
class Bench:
    """What is measured. book: prefixes of all wordings, trained and held out. editors: by task."""

    autoencoder: Autoencoder
    expert: Expert
    book: PromptBook
    editors: dict[str, Editor]

    @staticmethod
    def open(folder: Path, runs: Path) -> Bench:
        """The exported weights of a folder, with the prompts of a run."""
        config = config_of(folder)
        assert config is not None
        expert, autoencoder = load_parts(folder, config)
        editors = {task: one.train(False) for task, one in load_editors(folder, config).items()}
        return Bench(autoencoder.train(False), expert.train(False), PromptBook.open(runs), editors)

    def prefix(self, texts: list[str]) -> Prefix:
        """Prefixes of prompts of the book."""
        held = self.book.batch(np.array([self.book.place[text] for text in texts]))
        return Prefix(held.keys.float(), held.values.float(), held.lengths, held.index)

    @torch.inference_mode()
    def encode(self, images: np.ndarray) -> Tensor:
        """uint8 (B, S, S, 3) → latents."""
        return self.autoencoder.encode(to_tensor(images))

    @torch.inference_mode()
    def decode(self, z: Tensor) -> np.ndarray:
        """Latents → uint8 (B, S, S, 3)."""
        pixels = self.autoencoder.decode(z).clamp(-1, 1)
        return ((pixels + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()

    @torch.inference_mode()
    def latents(
        self,
        texts: list[str],
        settings: Settings,
        seed: int,
        condition: Tensor | None = None,
        batch: int = 16,
    ) -> Tensor:
        """Latents drawn for prompts, each from its own noise."""
        config, out = self.autoencoder.config, []
        shape = (config.channels, config.grid, config.grid)
        noise = torch.randn(len(texts), *shape, generator=torch.Generator().manual_seed(seed))
        for start in range(0, len(texts), batch):
            part = slice(start, start + batch)
            given = None if condition is None else condition[part]
            prompts, empty = self.prefix(texts[part]), self.prefix([""] * len(texts[part]))
            *_, (_, x0) = denoise(self.expert, noise[part], prompts, empty, settings, given)
            out.append(x0)
        return torch.cat(out)

    @torch.inference_mode()
    def added(
        self, task: str, texts: list[str], given: np.ndarray, settings: Settings, seed: int, batch: int = 16
    ) -> np.ndarray:
        """What a change adds to pictures uint8 (B, S, S, 3): float32 grey levels of the same shape.

        By the task's own expert; else drawn from noise, as the difference of the two decoded pictures.
        """
        parts = []
        for start in range(0, len(texts), batch):
            part = slice(start, start + batch)
            if task in self.editors:
                pixels = self.editors[task](to_tensor(given[part]), self.prefix(texts[part]))
            else:
                z = self.encode(given[part])
                made = self.latents(texts[part], settings, seed + start, z)
                pixels = self.autoencoder.decode(made) - self.autoencoder.decode(z)
            parts.append(pixels.permute(0, 2, 3, 1).float().numpy() * 127.5)
        return np.concatenate(parts)
