"""The model on its device, as the engine wants it: encode in groups, place kept tokens, one greedy step at a time.

Inference mode is entered inside each call and never held across a `yield`: the steps of one answer may run in
different threads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from omnivmed.model import tokens
from omnivmed.model.batch import BatchDecoder, Branches
from omnivmed.model.decode import AnyDecoder, Decoder, make_decoder
from omnivmed.pruning.rules import merging

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from omnivmed.model.cache import Cache
    from omnivmed.model.modeling import OmniVMedForConditionalGeneration
    from omnivmed.pruning import KeepMask
    from omnivmed.vision import Patches

#: Patches per group of frames, and prompt tokens per chunk: about a third of a second of work on two CPU cores
#: for nano, which is how fast a stop is felt.
CPU_PATCHES, CPU_TOKENS = 1024, 256
CUDA_PATCHES, CUDA_TOKENS = 16_384, 4096


class TorchRuntime:
    """An `OmniVMedForConditionalGeneration` with its tokenizer; implements `runtime.Runtime`."""

    def __init__(
        self,
        model: OmniVMedForConditionalGeneration,
        tokenizer: PreTrainedTokenizerFast,
        device: torch.device,
    ) -> None:
        self.model = model
        model.train(False).requires_grad_(False)
        self.tokenizer = tokenizer
        self.device = device
        self.dtype = model.dtype
        self.decoder = make_decoder(model)
        config = model.config
        self.image_token_id = int(config.image_token_id)
        self.video_token_id = int(config.video_token_id)
        self.context_length = int(config.text_config.max_position_embeddings)
        control = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
        self.stop_ids = frozenset(control | {self.image_token_id, self.video_token_id})
        self.encoder_frames = 0
        large = device.type == "cuda"
        self.prefill_chunk = CUDA_TOKENS if large else CPU_TOKENS
        self.patches_per_group = CUDA_PATCHES if large else CPU_PATCHES

    def release_layers(self) -> None:
        """Let go of the language model's layers where the decoder has its own copy of their weights.

        The model can no longer `generate` or be saved afterwards; answering does not need it to.
        """
        if isinstance(self.decoder, Decoder):
            self.model.model.language_model.layers = torch.nn.ModuleList()

    def encode(self, patches: Patches) -> Iterator[tuple[int, torch.Tensor | None]]:
        """Yield (frames done, None) per group of frames, at last (frames, features (M, width))."""
        t, gh, gw = patches.grid_thw
        rows_TLD = patches.patches.reshape(t, gh * gw, -1)
        first_seen, order = distinct_frames(rows_TLD)
        step = max(1, self.patches_per_group // (gh * gw))
        parts: list[torch.Tensor] = []
        for begin in range(0, len(first_seen), step):
            if begin:
                yield first_seen[begin], None
            group = first_seen[begin : begin + step]
            parts.append(self._encode(rows_TLD[group], (gh, gw), patches.merge_size))
            self.encoder_frames += len(group)
        features_TLW = torch.cat(parts)
        if len(first_seen) < t:
            features_TLW = features_TLW[torch.tensor(order, device=self.device)]
        yield t, features_TLW.flatten(0, 1)

    @torch.inference_mode()
    def _encode(self, rows_TLD: np.ndarray, grid_hw: tuple[int, int], merge_size: int) -> torch.Tensor:
        """Some frames (t, patches, 588) → projected tokens (t, tokens, width)."""
        frames = rows_TLD.shape[0]
        pixels = torch.from_numpy(np.ascontiguousarray(rows_TLD)).flatten(0, 1).to(self.device, self.dtype)
        grid = torch.tensor([[frames, *grid_hw]])
        tokens_MW = self.model.encode(pixels, grid, torch.tensor([merge_size]))
        return torch.unflatten(tokens_MW, 0, (frames, -1))

    @torch.inference_mode()
    def visual(self, features: torch.Tensor, mask: KeepMask) -> torch.Tensor:
        """Kept rows (K, width) of all tokens (M, width): the mask object's own memory decides."""
        if mask.merge:
            values = self.rows(features).reshape(len(mask.keep), -1, features.shape[-1])
            rows = merging.merged(values, mask.keep.reshape(len(mask.keep), -1))
            return torch.from_numpy(rows).to(features.device, features.dtype)
        return tokens.select_kept(features, torch.from_numpy(mask.keep.reshape(-1)))

    @torch.inference_mode()
    def rows(self, features: torch.Tensor) -> np.ndarray:
        """See `runtime.Runtime`."""
        return np.asarray(features.float().cpu().numpy(), dtype=np.float32)

    @torch.inference_mode()
    def pooled(self, features: torch.Tensor, frames: int) -> np.ndarray:
        """See `runtime.Runtime`; float32."""
        tokens_TNW = torch.unflatten(features.float(), 0, (frames, -1))
        pooled = torch.cat([tokens_TNW.mean(1), tokens_TNW.std(1, unbiased=False)], 1)
        return np.asarray(pooled.cpu().numpy(), dtype=np.float32)

    def nbytes(self, features: torch.Tensor) -> int:
        return features.numel() * features.element_size()

    def begin(self) -> TorchConversation:
        return TorchConversation(self.model, self.decoder)

    def many(
        self, prompts: Sequence[Sequence[list[int]]], visual: Sequence[torch.Tensor | None], most: int
    ) -> list[list[list[int]]]:
        """See `omnivmed.inference.batch.BatchRuntime`; one by one where the model has no fast path."""
        if not isinstance(self.decoder, Decoder):
            return [
                [self._alone(prompt, rows, most) for prompt in asked]
                for asked, rows in zip(prompts, visual, strict=True)
            ]
        placeholders = (self.image_token_id, self.video_token_id)
        trees = [Branches.of(asked, placeholders) for asked in prompts]
        return BatchDecoder(self.decoder).answers(trees, visual, placeholders, self.stop_ids, most)

    def _alone(self, prompt: list[int], visual: torch.Tensor | None, most: int) -> list[int]:
        conversation = self.begin()
        said: list[int] = []
        token = conversation.prefill(prompt, visual)
        while token not in self.stop_ids and len(said) < most:
            said.append(token)
            if len(said) < most:
                token = conversation.step(token)
        return said

    def decode(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def is_out_of_memory(self, error: BaseException) -> bool:
        return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
            isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
        )

    def release(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def distinct_frames(rows_TLD: np.ndarray) -> tuple[list[int], list[int]]:
    """(index of each distinct frame, place among those of every frame): bit-identical frames are encoded once."""
    places: dict[bytes, int] = {}
    first_seen: list[int] = []
    order: list[int] = []
    for i, frame in enumerate(rows_TLD):
        key = hashlib.blake2b(np.ascontiguousarray(frame).data, digest_size=16).digest()
        if key not in places:
            places[key] = len(first_seen)
            first_seen.append(i)
        order.append(places[key])
    return first_seen, order


class TorchConversation:
    """One conversation's cache, and the decoder that all conversations share."""

    def __init__(self, model: OmniVMedForConditionalGeneration, decoder: AnyDecoder) -> None:
        self._model = model
        self._decoder = decoder
        self._cache: Cache = decoder.new_cache()
        self._logits: torch.Tensor | None = None

    @property
    def length(self) -> int:
        return self._cache.length

    @property
    def nbytes(self) -> int:
        return self._cache.nbytes + (0 if self._logits is None else self._logits.nbytes)

    @torch.inference_mode()
    def prefill(self, ids: Sequence[int], visual: torch.Tensor | None) -> int:
        embeds = self._model.embed_prompt(torch.tensor([list(ids)], device=self._model.device), visual)
        self._logits = self._decoder.prefill(embeds, self._cache)
        return int(self._logits.argmax())

    @torch.inference_mode()
    def step(self, token: int) -> int:
        self._logits = self._decoder.step(token, self._cache)
        return int(self._logits.argmax())

    @property
    @torch.inference_mode()
    def certainty(self) -> float | None:
        return None if self._logits is None else float(self._logits.float().reshape(-1).softmax(0).max())

    def truncate(self, length: int) -> None:
        self._cache.truncate(length)
