"""Model folders for people who come from transformers, through its Auto classes and its pipeline.

    import omnivmed.model.auto
    from transformers import AutoModelForImageTextToText, AutoProcessor, pipeline

    model = AutoModelForImageTextToText.from_pretrained("RUN/mixed/final")
    ask = pipeline("image-text-to-text", model="RUN/mixed/final")
    ask(images=picture, text="What is shown?", max_new_tokens=32)

Stills only: volumes and clips, windows, pruning and its picture are the engine's (`omnivmed.load_model`). A folder
whose config.json does not name its `model_type` (written before it did) is opened by the classes themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    BatchFeature,
    PreTrainedTokenizerFast,
    ProcessorMixin,
)

from omnivmed.model.config import OmniVMedConfig
from omnivmed.model.load import read_verified
from omnivmed.model.modeling import OmniVMedForConditionalGeneration
from omnivmed.model.prompts import build_prompt
from omnivmed.model.schema import check_placeholders, model_config, vision_budget
from omnivmed.study import Study
from omnivmed.vision import DEFAULT_BUDGET, VisionBudget, prepare


class OmniVMedProcessor(ProcessorMixin):
    """Pictures and a question → what `generate` takes. tokenizer: of the folder; budget: it was trained under."""

    attributes = ["tokenizer"]  # noqa: RUF012  (as in the base class)
    tokenizer_class = "PreTrainedTokenizerFast"
    image_processor = None

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        config: OmniVMedConfig,
        budget: VisionBudget = DEFAULT_BUDGET,
    ) -> None:
        self.tokenizer, self.config, self.budget = tokenizer, config, budget
        self.chat_template = None

    @classmethod
    def from_pretrained(  # type: ignore[override]  # what the base class passes on, **kwargs take
        cls, pretrained_model_name_or_path: Any, **kwargs: Any
    ) -> OmniVMedProcessor:
        """Of a folder of format `omnivmed/1` with its tokenizer.json. Raises ModelError."""
        folder = Path(pretrained_model_name_or_path)
        values = read_verified(folder)
        config = model_config(values)
        check_placeholders(config)
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
        return cls(tokenizer, config, vision_budget(values) or DEFAULT_BUDGET)

    def __call__(  # one question about some pictures
        self, images: Any = None, text: Any = None, **kwargs: Any
    ) -> BatchFeature:
        """input_ids (1, S), attention_mask, pixel_values (N, 588), image_grid_thw and image_merge_sizes (n, …).

        images: one picture (PIL, or uint8 array (H, W[, 3])) or several, all before the question. text: one
        question. Raises ValueError for several questions.
        """
        given = [] if images is None else list(images) if isinstance(images, (list, tuple)) else [images]
        if isinstance(text, (list, tuple)):
            if len(text) != 1:
                raise ValueError(f"one question at a time, got {len(text)}")
            text = text[0]
        return self._encode([np.asarray(_rgb(one)) for one in given], str(text), [])

    def apply_chat_template(  # type: ignore[override]  # the prompt is put together from ids, not from a template
        self, conversation: Sequence[Mapping[str, Any]], **kwargs: Any
    ) -> BatchFeature:
        """Messages of "user" and "assistant" whose content is text or parts {"type": "text" | "image", …}.

        The pictures are those of the first message. Raises ValueError for another order of speakers.
        """
        pictures: list[np.ndarray] = []
        said: list[str] = []
        for place, message in enumerate(conversation):
            if message["role"] != ("user", "assistant")[place % 2]:
                raise ValueError("messages alternate between user and assistant, the user first")
            parts = message["content"]
            parts = [{"type": "text", "text": parts}] if isinstance(parts, str) else parts
            for part in parts:
                if part["type"] == "image":
                    pictures.append(np.asarray(_rgb(part.get("image"))))
            said.append("\n".join(part["text"] for part in parts if part["type"] == "text"))
        if len(said) % 2 == 0:
            raise ValueError("the last message is the user's question")
        turns = list(zip(said[:-1:2], said[1::2], strict=True))
        return self._encode(pictures, said[-1], turns)

    def _encode(
        self, pictures: list[np.ndarray], question: str, history: list[tuple[str, str]]
    ) -> BatchFeature:
        patches = [prepare(Study.from_array(one, "image"), self.budget) for one in pictures]
        ids = build_prompt(
            self.tokenizer,
            question,
            "image",
            [one.tokens for one in patches],
            None,
            history,
            self.config.image_token_id,
            self.config.video_token_id,
        )
        data: dict[str, Any] = {
            "input_ids": torch.tensor([ids]),
            "attention_mask": torch.ones(1, len(ids), dtype=torch.long),
        }
        if patches:
            data["pixel_values"] = torch.from_numpy(np.concatenate([one.patches for one in patches]))
            data["image_grid_thw"] = torch.tensor([one.grid_thw for one in patches])
            data["image_merge_sizes"] = torch.tensor([one.merge_size for one in patches])
        return BatchFeature(data)

    def post_process_image_text_to_text(  # type: ignore[override]  # what the base class passes on, **kwargs take
        self, generated_outputs: Any, **kwargs: Any
    ) -> list[str]:
        """Texts of generated ids."""
        return list(self.tokenizer.batch_decode(generated_outputs, skip_special_tokens=True))

    @property
    def model_input_names(self) -> list[str]:
        """What `__call__` gives."""
        return ["input_ids", "attention_mask", "pixel_values", "image_grid_thw", "image_merge_sizes"]


def _rgb(picture: Any) -> Any:
    """uint8 array or PIL picture. Nothing is fetched: addresses and paths are the caller's to open."""
    if isinstance(picture, np.ndarray):
        return picture
    if not isinstance(picture, Image.Image):
        raise ValueError(f"give the picture itself (PIL or array), not {type(picture).__name__}")
    return picture.convert("RGB")


AutoConfig.register(OmniVMedConfig.model_type, OmniVMedConfig, exist_ok=True)
AutoModelForImageTextToText.register(OmniVMedConfig, OmniVMedForConditionalGeneration, exist_ok=True)
AutoProcessor.register(OmniVMedConfig, OmniVMedProcessor, exist_ok=True)
