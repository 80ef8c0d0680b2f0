"""Programs get a sentence for every mistake: what was sent, what to send instead; one file does as well as a list."""

from __future__ import annotations

import json
from typing import Any

import pytest

from omnivmed.resources import samples_dir
from tests.service.conftest import Starter
from tests.service.page_client import PageClient


def uploaded(page: PageClient, name: str, data: bytes) -> dict[str, Any]:
    (path,) = page.http.post(f"{page.api}/upload", files={"files": (name, data)}).json()
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def told(page: PageClient, function: str, data: list[Any]) -> tuple[str, Any]:
    """(last event, its data) of a call by three plain requests."""
    event = page.http.post(f"{page.api}/call/{function}", json={"data": data}).json()["event_id"]
    lines = page.http.get(f"{page.api}/call/{function}/{event}").text.splitlines()
    names = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    values = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    return names[-1], json.loads(values[-1])


def test_one_file_and_a_list_of_one_give_the_same_mask(start: Starter) -> None:
    page = start().page()
    data = (samples_dir() / "ct_abdomen.nii.gz").read_bytes()
    one = told(page, "prune", [uploaded(page, "a.nii.gz", data), 0.1])
    several = told(page, "prune", [[uploaded(page, "a.nii.gz", data)], 0.1])
    assert one[0] == several[0] == "complete"
    assert one[1][0]["keep"] == several[1][0]["keep"]
    assert one[1][0]["kept"] == 293


def test_a_call_that_ends_early_has_defaults_for_the_rest(start: Starter) -> None:
    """As programs send it that were written before the last parameters came."""
    page = start().page()
    data = (samples_dir() / "ct_abdomen.nii.gz").read_bytes()
    name, value = told(page, "ask", [uploaded(page, "a.nii.gz", data), "Which organ?"])
    assert name == "complete"
    assert "You asked: Which organ?" in value[0]
    assert value[1]["threshold"] == 0.1


def test_every_mistake_has_its_sentence(start: Starter) -> None:
    page = start().page()
    data = (samples_dir() / "ct_abdomen.nii.gz").read_bytes()

    def sentence(function: str, *values: Any) -> str:
        name, value = told(page, function, list(values))
        assert name == "error"
        return str(value["error"])

    text = uploaded(page, "a.txt", b"hello world")
    assert "This is a text file" in sentence("prune", text, 0.1)
    assert "This is a text file" in sentence("ask", uploaded(page, "a.txt", b"hello world"), "What?", 0.1, 8)
    assert sentence("prune", None, 0.1) == sentence("prune", [], 0.1) == "There is no file; send one study."
    assert "not as words" in sentence("prune", "study.nii", 0.1)
    for wrong in ("high", 7, -1, True):
        assert sentence("prune", uploaded(page, "a.nii.gz", data), wrong) == "threshold lies between 0 and 2"
    assert (
        sentence("ask", uploaded(page, "a.nii.gz", data), "What?", 7, 8) == "threshold lies between 0 and 2"
    )
    assert sentence("ask", uploaded(page, "a.nii.gz", data), " ", 0.1, 8) == "Please type a question."


@pytest.mark.parametrize("threshold", [0, 2, None])
def test_the_ends_of_the_scale_are_thresholds(start: Starter, threshold: float | None) -> None:
    page = start().page()
    data = (samples_dir() / "ct_abdomen.nii.gz").read_bytes()
    name, value = told(page, "prune", [uploaded(page, "a.nii.gz", data), threshold])
    assert name == "complete"
    assert value[0]["threshold"] == (0.1 if threshold is None else threshold)
