"""The model, loaded beside whatever the command does meanwhile."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from omnivmed.background import Beside
from omnivmed.cli.common import ProgressLine

if TYPE_CHECKING:
    from omnivmed.inference import LocalAssistant

    Loading = Beside[tuple[str, int, int], LocalAssistant]


def start_loading(args: argparse.Namespace) -> Loading:
    """Begin to load the model that the command line names."""
    return Beside(lambda tell: _load(args, tell), name="omnivmed-load")


def _load(args: argparse.Namespace, tell: Callable[[tuple[str, int, int]], None]) -> LocalAssistant:
    from omnivmed.inference import load_model

    return load_model(args.model, args.device, args.dtype, args.offline, lambda *told: tell(told))


def loaded(loading: Loading, progress: ProgressLine) -> LocalAssistant:
    """The model, or the error it ended with."""
    steps = loading.told(passing=lambda _: True)
    try:
        while True:
            try:
                progress(*next(steps))
            except StopIteration as over:
                model: LocalAssistant = over.value
                return model
    finally:
        progress.clear()
