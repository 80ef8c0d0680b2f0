"""OmniV-Med: encoder, projector, [kept tokens], language model.

Built on transformers' `video_llama_3`, which is also the numerical reference: parameter names, inputs and
results are the same. Argument lists and output classes are ours and the same under every version of transformers
(`upstream`). Ours are also the batched encoder, a loss over supervised positions only, logits of the
wanted positions only, and a keep mask for stills as well as videos, applied in `tokens.select_kept`.

Legend: ``N`` patches, ``M`` merged tokens, ``K`` kept tokens of all studies; ``B`` prompts of length ``S``;
``W`` width of the language model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModel

from omnivmed.model.config import OmniVMedConfig
from omnivmed.model.encoder import OmniVMedVisionModel
from omnivmed.model.loss import CHUNK_TOKENS, supervised_loss
from omnivmed.model.outputs import OmniVMedModelOutput, OmniVMedOutput
from omnivmed.model.tokens import place_tokens, select_kept
from omnivmed.model.upstream import (
    CACHE,
    BaseModelOutputWithPooling,
    Cache,
    VideoLlama3ForConditionalGeneration,
    VideoLlama3Model,
    VideoLlama3PreTrainedModel,
    VideoLlama3Projector,
    can_return_tuple,
    part_of,
)


def one_cache(cache: Cache | None, past_key_values: Cache | None) -> Cache | None:
    """Return the keys and values, given under either name. Raises ValueError when both are given."""
    if cache is not None and past_key_values is not None:
        raise ValueError("give the keys and values once: cache (past_key_values is its older name)")
    return past_key_values if cache is None else cache


class OmniVMedModel(VideoLlama3Model):
    """Encoder, projector and language model without the head; names as in transformers."""

    config: OmniVMedConfig
    config_class = (
        OmniVMedConfig  # the annotation is a string here, which transformers would take for the class
    )
    _no_split_modules = ["OmniVMedVisionLayer"]  # noqa: RUF012  (ClassVar would contradict the base class)
    pixels_need_grad = False
    """ZeRO-3 takes the encoder's gradients when that of its input is there, so the input must have one."""

    def __init__(self, config: OmniVMedConfig) -> None:
        VideoLlama3PreTrainedModel.__init__(self, config)
        self.vision_model = part_of(OmniVMedVisionModel, config.vision_config)
        self.projector = VideoLlama3Projector(config)
        self.language_model = AutoModel.from_config(config.text_config)
        VideoLlama3PreTrainedModel.post_init(self)

    def _encode_once(self, given: dict[str, tuple[Any, Any, Any]]) -> dict[str, tuple[torch.Tensor, ...]]:
        """Projected features per study of stills and videos, by kind; given: kind -> (pixels, grids, merge sizes).

        One call of encoder and projector, whatever is in the batch: ranks of a sharded run (ZeRO-3, FSDP) gather
        weights at every call and wait for each other for ever when one calls twice and another once.
        """
        if not given:
            return {}
        # one kind, the usual case, is not copied
        pixels, grids, merges = (
            torch.cat(parts) if len(parts) > 1 else parts[0] for parts in zip(*given.values(), strict=True)
        )
        if self.pixels_need_grad and torch.is_grad_enabled():
            pixels = pixels.float().requires_grad_()
        tokens = self.projector(self.vision_model(pixels, grids, merges, tokens_only=True))
        rows = torch.split(tokens, (grids.prod(dim=1) // merges**2).tolist())
        out, start = {}, 0
        for kind, (_, kind_grids, _) in given.items():
            out[kind] = tuple(rows[start : start + len(kind_grids)])
            start += len(kind_grids)
        return out

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        cache: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        use_cache: bool | None = None,
        pixel_values: torch.Tensor | None = None,
        image_grid_thw: torch.Tensor | None = None,
        image_merge_sizes: torch.Tensor | None = None,
        image_compression_mask: torch.Tensor | None = None,
        pixel_values_videos: torch.Tensor | None = None,
        video_grid_thw: torch.Tensor | None = None,
        video_merge_sizes: torch.Tensor | None = None,
        video_compression_mask: torch.Tensor | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        past_key_values: Cache | None = None,
        **kwargs: Any,
    ) -> OmniVMedModelOutput:
        """Run prompts with any number of stills and videos (volumes count as videos) of any size.

        pixel_values, pixel_values_videos: ``(N, 588)`` in [-1, 1], all of the batch concatenated.
        image_compression_mask, video_compression_mask: bool ``(M,)``, True = kept; None keeps everything.
        mm_encoder_outputs: outputs of `get_image_features` / `get_video_features` under "image" / "video",
        in place of the pixels (a study encoded once, asked many times).
        `input_ids` holds one placeholder per kept token. cache: keys and values of earlier positions; the older name
        `past_key_values` is taken too.
        """
        if (pixel_values is not None or pixel_values_videos is not None) and mm_encoder_outputs:
            raise ValueError("give either pixels or encoder outputs, not both")
        if inputs_embeds is None:
            if input_ids is None:
                raise ValueError("give input_ids or inputs_embeds")
            inputs_embeds = self.get_input_embeddings()(input_ids)
        encoded = {
            kind: tuple(output.pooler_output or ())
            for kind, output in (mm_encoder_outputs or {}).items()
            if output
        }
        given = {
            "image": (pixel_values, image_grid_thw, image_merge_sizes),
            "video": (pixel_values_videos, video_grid_thw, video_merge_sizes),
        }
        encoded |= self._encode_once({k: v for k, v in given.items() if v[0] is not None})
        masks = {"image": image_compression_mask, "video": video_compression_mask}
        ids = {"image": self.config.image_token_id, "video": self.config.video_token_id}
        present = [kind for kind in ids if encoded.get(kind) is not None]
        if len(present) == 2 and ids["image"] == ids["video"]:
            raise ValueError("images and videos in one batch need different placeholder ids in the config")
        kept: dict[str, torch.Tensor] = {}
        for kind in present:
            features_MW = torch.cat(encoded[kind])
            keep_M = masks[kind]
            kept[kind] = features_MW if keep_M is None else select_kept(features_MW, keep_M)
            if input_ids is None:
                raise ValueError("input_ids are needed to know where the visual tokens go")
            inputs_embeds = place_tokens(inputs_embeds, input_ids == ids[kind], kept[kind], kind)
        outputs = self.language_model(
            input_ids=None,
            position_ids=position_ids,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            **{CACHE: one_cache(cache, past_key_values)},
            **kwargs,
        )
        return OmniVMedModelOutput(
            last_hidden_state=outputs.last_hidden_state,
            cache=getattr(outputs, CACHE),
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            image_hidden_states=kept.get("image"),
            video_hidden_states=kept.get("video"),
        )


class OmniVMedForConditionalGeneration(VideoLlama3ForConditionalGeneration):
    """The whole model. `generate` works as in transformers; the engine uses `decode.Decoder` instead."""

    config: OmniVMedConfig
    config_class = OmniVMedConfig
    accepts_loss_kwargs = True  # num_items_in_batch is honoured, see loss.supervised_loss
    _no_split_modules = ["OmniVMedVisionLayer"]  # noqa: RUF012  (ClassVar would contradict the base class)

    def __init__(self, config: OmniVMedConfig) -> None:
        VideoLlama3PreTrainedModel.__init__(self, config)
        self.model = OmniVMedModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.loss_chunk_tokens = CHUNK_TOKENS
        VideoLlama3PreTrainedModel.post_init(self)

    @classmethod
    def from_pretrained(  # the arguments of the base class that have a meaning here
        cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any
    ) -> OmniVMedForConditionalGeneration:
        """Load a folder of format `omnivmed/1`, its files verified; anything else goes to transformers.

        dtype (or torch_dtype): "auto" or none is bfloat16, as the public checkpoints are; device_map: one device.
        Raises ModelError for a folder that is not whole.
        """
        from omnivmed.model.load import load_pretrained, says_format

        folder = Path(pretrained_model_name_or_path)
        if not says_format(folder):
            whole: OmniVMedForConditionalGeneration = super().from_pretrained(
                pretrained_model_name_or_path, *args, **kwargs
            )
            return whole
        dtype = kwargs.get("dtype") or kwargs.get("torch_dtype") or "auto"
        if isinstance(dtype, str):
            dtype = torch.bfloat16 if dtype == "auto" else getattr(torch, dtype)
        device = kwargs.get("device_map")
        device = "cpu" if device is None or device == "auto" or isinstance(device, dict) else device
        return load_pretrained(folder, dtype, device)

    def encode(
        self, patches: torch.Tensor, grid_thw: torch.Tensor, merge_sizes: torch.Tensor
    ) -> torch.Tensor:
        """Encode and project studies: patches ``(N, 588)`` in [-1, 1] -> ``(M, W)``, before any pruning.

        grid_thw ``(n, 3)``, merge_sizes ``(n,)``. The result may be kept and used for every later question.
        """
        tokens: torch.Tensor = self.model.projector(
            self.model.vision_model(patches, grid_thw, merge_sizes, tokens_only=True)
        )
        return tokens

    def embed_prompt(
        self, input_ids: torch.Tensor, kept_features: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return ``inputs_embeds`` ``(B, S, W)`` of prompts whose placeholders hold the kept visual tokens.

        input_ids ``(B, S)`` or ``(S,)``; kept_features ``(K, W)`` = `select_kept(encode(...), mask)`, in the
        order of the placeholders (image or video alike); None for text alone. With these embeddings
        `forward(inputs_embeds=...)` and `Decoder.prefill` run without the encoder.
        Raises ValueError when the number of placeholders is not K.
        """
        if input_ids.ndim == 1:
            input_ids = input_ids[None]
        embeds = self.get_input_embeddings()(input_ids)
        places = (input_ids == self.config.image_token_id) | (input_ids == self.config.video_token_id)
        if kept_features is None:
            kept_features = embeds.new_zeros(0, embeds.shape[-1])
        return place_tokens(embeds, places, kept_features)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        cache: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        use_cache: bool | None = None,
        pixel_values: torch.Tensor | None = None,
        image_grid_thw: torch.Tensor | None = None,
        image_merge_sizes: torch.Tensor | None = None,
        image_compression_mask: torch.Tensor | None = None,
        pixel_values_videos: torch.Tensor | None = None,
        video_grid_thw: torch.Tensor | None = None,
        video_merge_sizes: torch.Tensor | None = None,
        video_compression_mask: torch.Tensor | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        num_items_in_batch: torch.Tensor | float | None = None,
        past_key_values: Cache | None = None,
        **kwargs: Any,
    ) -> OmniVMedOutput:
        """Inputs as in `OmniVMedModel.forward`.

        With `labels` ``(B, S)`` (-100 = not supervised) the loss is computed from the supervised positions
        and `logits` is None. Without labels `logits` are those of the last `logits_to_keep` positions
        (0 = all; `generate` asks for 1), or of the positions in a 1-D index tensor.
        """
        cache = one_cache(cache, past_key_values)
        if labels is not None and cache is None and use_cache is None:
            use_cache = False
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            cache=cache,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            pixel_values=pixel_values,
            image_grid_thw=image_grid_thw,
            image_merge_sizes=image_merge_sizes,
            image_compression_mask=image_compression_mask,
            pixel_values_videos=pixel_values_videos,
            video_grid_thw=video_grid_thw,
            video_merge_sizes=video_merge_sizes,
            video_compression_mask=video_compression_mask,
            mm_encoder_outputs=mm_encoder_outputs,
            return_dict=True,
            **kwargs,
        )
        hidden_BSW = outputs.last_hidden_state
        loss = logits = None
        if labels is not None:
            loss = supervised_loss(
                hidden_BSW, labels, self.lm_head, num_items_in_batch, self.loss_chunk_tokens
            )
        else:
            wanted = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
            logits = self.lm_head(hidden_BSW[:, wanted])
        return OmniVMedOutput(
            loss=loss,
            logits=logits,
            cache=outputs.cache,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            image_hidden_states=outputs.image_hidden_states,
            video_hidden_states=outputs.video_hidden_states,
        )
