"""The plug-in against a stand-in for lmms-eval: what it hands over, and what it gets back."""

from __future__ import annotations

import importlib
import importlib.util
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from PIL import Image

import omnivmed.eval.lmms
from omnivmed.errors import StudyError

TASK = Path(omnivmed.eval.lmms.__file__).parent / "tasks/vqa_rad"


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module, imported with the three names of lmms-eval that it uses."""
    model, registry = ModuleType("lmms_eval.api.model"), ModuleType("lmms_eval.api.registry")
    model.lmms = type("lmms", (), {"task_dict": {}})  # type: ignore[attr-defined]
    registry.register_model = lambda name: lambda cls: cls  # type: ignore[attr-defined]
    names = {"lmms_eval": ModuleType("lmms_eval"), "lmms_eval.api": ModuleType("lmms_eval.api")}
    for name, module in {**names, model.__name__: model, registry.__name__: registry}.items():
        monkeypatch.setitem(sys.modules, name, module)
    sys.modules.pop("omnivmed.eval.lmms.models", None)
    yield importlib.import_module("omnivmed.eval.lmms.models")
    sys.modules.pop("omnivmed.eval.lmms.models", None)


class Echo:
    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def answer(self, study: Any, question: str, options: Any) -> Any:
        self.asked.append((study.kind, study.shape, question, options.threshold, options.max_new_tokens))
        return SimpleNamespace(text="Yes.")

    def forget(self, study: Any) -> int:
        return 0


def test_requests_become_questions(plugin: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    echo = Echo()
    monkeypatch.setattr("omnivmed.inference.load_model", lambda name: echo)
    model = plugin.OmniVMed("nano", threshold="0.3")
    doc = {"image": Image.new("L", (60, 40))}
    model.task_dict = {"t": {"test": [doc]}}
    one = SimpleNamespace(
        args=("<image>\nIs it?", {"max_new_tokens": 8}, lambda d: [d["image"]], 0, "t", "test")
    )
    two = SimpleNamespace(args=("Is it?", {}, lambda d: [d["image"]] * 2, 0, "t", "test"))
    assert model.generate_until([one]) == ["Yes."]
    with pytest.raises(
        StudyError, match="One study at a time"
    ) as failure:  # no empty text that would be scored
        model.generate_until([one, two])
    assert failure.value.__notes__ == ["document 0 of t, test"]
    assert echo.asked == [("image", (1, 40, 60), "Is it?", 0.3, 8)] * 2
    with pytest.raises(NotImplementedError):
        model.loglikelihood([])


def test_task_scores_like_our_own_runner() -> None:
    spec = importlib.util.spec_from_file_location("utils", TASK / "utils.py")
    assert spec is not None
    assert spec.loader is not None
    utils = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(utils)
    rows = [
        utils.process_results({"answer": "yes"}, ["Yes, it is."]),
        utils.process_results({"answer": "left lung"}, ["left"]),
    ]
    assert utils.mean([r["closed_accuracy"] for r in rows]) == 1.0
    assert utils.mean([r["open_recall"] for r in rows]) == 0.5
    assert math.isnan(utils.mean([None]))
    text = (TASK / "omnivmed_vqa_rad.yaml").read_text()
    for line in text.splitlines():
        if "!function utils." in line:
            assert callable(getattr(utils, line.rpartition(".")[2]))
