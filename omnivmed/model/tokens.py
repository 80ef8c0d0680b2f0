"""Visual tokens in the prompt: the one place where the keep mask is applied, and where tokens are put in.

Legend: ``M`` merged tokens of all studies; ``K`` kept ones; ``B`` prompts; ``S`` prompt length; ``W`` width of
the language model.
"""

from __future__ import annotations

import torch


def select_kept(features_MW: torch.Tensor, keep_M: torch.Tensor) -> torch.Tensor:
    """Return the kept visual tokens ``(K, W)``: OmniV-Med §2.3, pruning after encoder and projector.

    Nothing else in the project drops a visual token. ``keep_M`` is bool, in the order of the features
    (studies concatenated, raster over frame, row, column): a `KeepMask.keep` of each study, flattened.
    Raises ValueError when mask and features differ in length, or the mask is not bool.
    """
    if keep_M.dtype != torch.bool:
        raise ValueError(f"the keep mask must be bool, got {keep_M.dtype}")
    if keep_M.ndim != 1 or keep_M.shape[0] != features_MW.shape[0]:
        raise ValueError(f"keep mask of shape {tuple(keep_M.shape)} for {features_MW.shape[0]} visual tokens")
    return features_MW[keep_M.to(features_MW.device)]


def place_tokens(
    embeddings_BSW: torch.Tensor,
    placeholders_BS: torch.Tensor,
    features_KW: torch.Tensor,
    kind: str = "visual",
) -> torch.Tensor:
    """Return the embeddings with the k-th placeholder (prompt by prompt, left to right) set to feature k.

    Raises ValueError when the number of placeholders is not the number of features. Differentiable in both.
    """
    places = int(placeholders_BS.sum())
    if places != features_KW.shape[0]:
        raise ValueError(
            f"the prompt holds {places} {kind} placeholders, but {features_KW.shape[0]} {kind} tokens are kept"
        )
    features_KW = features_KW.to(embeddings_BSW.device, embeddings_BSW.dtype)
    return embeddings_BSW.masked_scatter(placeholders_BS[..., None], features_KW)
