"""Recipes as values: complete, frozen, and given back whole by their JSON."""

from __future__ import annotations

import dataclasses
import json

import pytest

from train.recipes import RECIPES, Rates, TrainConfig, recipe


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_the_saved_json_is_the_recipe(name: str) -> None:
    config = recipe(name)
    assert config.name == name
    assert TrainConfig.from_json(config.to_json()) == config
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 1  # type: ignore[misc]


def test_unknown_and_missing_fields_are_refused() -> None:
    value = json.loads(recipe("tiny").to_json())
    with pytest.raises(ValueError, match="unknown fields"):
        TrainConfig.from_json(json.dumps({**value, "learning_rate": 1}))
    del value["stages"][0]["rates"]["llm"]
    with pytest.raises(ValueError, match="missing fields"):
        TrainConfig.from_json(json.dumps(value))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sharding", "zero9"),
        ("micro_batch", "two"),
        ("micro_batch", "2"),
        ("seed", 1.5),
        ("precision", None),
        ("max_skip_rate", "lots"),
        ("lora", 3),
        ("offload", 1),
    ],
)
def test_nonsense_is_refused_with_the_field_and_the_value(field: str, value: object) -> None:
    config = json.loads(recipe("tiny").to_json())
    with pytest.raises(ValueError, match=rf"this version: {field}: Input should be .* \(got {value!r}\)"):
        TrainConfig.from_json(json.dumps({**config, field: value}))


@pytest.mark.parametrize("text", ["[]", "{", "3", '{"stages": []}'])
def test_what_is_no_config_at_all_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a training config of this version"):
        TrainConfig.from_json(text)


def test_nonsense_deep_inside_names_its_place() -> None:
    config = json.loads(recipe("tiny").to_json())
    config["stages"][1]["rates"]["llm"] = "fast"
    config["stages"][2]["sources"][0]["weight"] = None
    with pytest.raises(ValueError, match=r"stages.1.rates.llm: .*; stages.2.sources.0.weight: "):
        TrainConfig.from_json(json.dumps(config))


def test_the_three_stages_are_those_of_the_paper() -> None:
    config = recipe("omnivmed_1p5b_8x24gb")
    table = [(s.name, s.rates.trained(), s.threshold, s.planned_steps()) for s in config.stages]
    every = ("llm", "projector", "encoder")
    assert table == [
        ("align", ("projector", "encoder"), None, 5055),
        ("instruct", every, None, 5055),
        ("mixed", every, 0.1, 1969),
    ]
    assert config.accumulation(config.stages[0], world=8) == 2, "passes are filled"
    single = dataclasses.replace(config, fill=False)
    assert single.accumulation(single.stages[0], world=8) == 16


def test_a_batch_that_does_not_divide_is_refused_with_a_way_out() -> None:
    config = dataclasses.replace(recipe("omnivmed_1p5b_8x24gb"), fill=False)
    with pytest.raises(ValueError, match="multiple of 6"):
        config.accumulation(config.stages[0], world=6)


def test_a_stage_that_trains_nothing_is_refused() -> None:
    config = recipe("tiny")
    frozen = dataclasses.replace(config.stages[0], rates=Rates(None, None, None))
    with pytest.raises(ValueError, match="trains no part"):
        dataclasses.replace(config, stages=(frozen,))
    with pytest.raises(ValueError, match="align, instruct, mixed"):
        config.stage("pretrain")


def test_fingerprints_tell_recipes_apart() -> None:
    config = recipe("tiny")
    assert config.fingerprint == recipe("tiny").fingerprint != dataclasses.replace(config, seed=1).fingerprint


def test_nano_has_a_command_of_its_own() -> None:
    with pytest.raises(ValueError, match=r"python -m train\.nano"):
        recipe("nano")
    with pytest.raises(ValueError, match="choose from tiny"):
        recipe("huge")
