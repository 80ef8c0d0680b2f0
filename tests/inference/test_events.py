"""Counts and seconds are read by name, by key and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from omnivmed.inference import Timings, Usage


def test_usage_is_a_value_and_a_mapping() -> None:
    usage = Usage(visual_tokens_before=9, visual_tokens_after=4, prompt_tokens=30)
    assert isinstance(usage, Mapping)
    assert (usage.prompt_tokens, usage["prompt_tokens"], usage.get("nothing")) == (30, 30, None)
    assert json.loads(json.dumps(dict(usage))) == {
        "visual_tokens_before": 9,
        "visual_tokens_after": 4,
        "prompt_tokens": 30,
        "output_tokens": 0,
        "encoder_frames": 0,
        "cached_tokens": 0,
    }
    assert "keys" not in usage
    with pytest.raises(KeyError):
        usage["get"]
    with pytest.raises(AttributeError):
        usage.prompt_tokens = 3  # type: ignore[misc]


def test_timings_name_every_step() -> None:
    assert list(Timings()) == [
        "wait", "read", "patches", "prune", "encode", "prefill", "first_token", "decode", "total",
    ]  # fmt: skip
    assert Timings(total=1.5) == {**dict.fromkeys(Timings(), 0.0), "total": 1.5}
