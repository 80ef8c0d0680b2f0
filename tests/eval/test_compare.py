"""Paired differences, and the two measures that look through a refusal."""

from __future__ import annotations

from omnivmed.eval import metrics
from omnivmed.eval.compare import compare
from omnivmed.eval.protocol import LLAVA_MED
from omnivmed.records import Item, Media


def items(count: int) -> list[Item]:
    out = []
    for i in range(count):
        out.append(Item(f"c{i}", Media("text"), "Is it?", "no", True, group=f"g{i}"))
        out.append(Item(f"o{i}", Media("text"), "Where?", "left lung", False, group=f"g{i}"))
    return out


def test_a_refusal_is_no_no() -> None:
    text = "I cannot tell that from this image."
    assert metrics.llava_med_closed(text, "no"), "the published rule, kept"
    assert not metrics.whole_words(text, "no")
    assert metrics.whole_words("No, it is not.", "no")
    assert metrics.whole_words("The left lung.", "Left lung")
    assert metrics.declined(text)
    assert not metrics.declined("No.")
    scores = {s.measure: s.value for s in LLAVA_MED.score(items(1), {"c0": text, "o0": "left"})}
    assert scores["closed accuracy"] == 1.0
    assert scores["closed accuracy (whole words)"] == 0.0
    assert scores["declined"] == 0.5


def test_difference_is_paired_and_says_when_it_shows_nothing() -> None:
    asked = items(20)
    right = {i.id: i.answer for i in asked}
    half = {i.id: "left" if i.id[0] == "o" else i.answer for i in asked}
    found = {c.measure: c for c in compare("A", asked, ("a", right), ("b", half))}
    assert found["open recall"].value == 0.5
    assert found["open recall"].low == found["open recall"].high == 0.5
    assert found["open recall"].clear
    assert found["closed accuracy"].value == 0.0
    assert "no difference shown" in found["closed accuracy"].text()
    assert compare("no such protocol", asked, ("a", right), ("b", half)) == []


def test_surgical_and_m3d_answers_are_compared_too() -> None:
    surgical = [Item(str(i), Media("text"), "q", "Tool Manipulation", True) for i in range(4)]
    said = {i.id: "tool_manipulation." for i in surgical}
    (found,) = compare("surgical", surgical, ("a", said), ("b", dict.fromkeys(said, "perhaps")))
    assert (found.measure, found.value) == ("accuracy", 1.0)
    choices = [Item(str(i), Media("text"), "q", "B. liver", True) for i in range(4)]
    (found,) = compare(
        "M3D", choices, ("a", dict.fromkeys(said, "B. liver")), ("b", dict.fromkeys(said, "A. lung"))
    )
    assert (found.measure, found.value) == ("closed accuracy", 1.0)
