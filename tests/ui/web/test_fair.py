"""Shares of the queue, on paper."""

from __future__ import annotations

import pytest

from omnivmed.ui.web.fair import Caller, Kind, Places, refusal

PLACES = Places(answers=16, openings=8, quick=32, share=8)
HERE = "127.0.0.1"


def pages(n: int, kind: Kind = "answers", address: str = HERE) -> list[tuple[Kind, Caller]]:
    return [(kind, Caller(f"page{k}", address)) for k in range(n)]


def test_one_page_holds_half_and_the_others_get_in() -> None:
    greedy = Caller("greedy", HERE)
    mine: list[tuple[Kind, Caller]] = [("answers", greedy)] * 8
    assert refusal(PLACES, "answers", greedy, mine[:7]) is None
    assert refusal(PLACES, "answers", greedy, mine) == "share"
    assert refusal(PLACES, "answers", Caller("other", HERE), mine) is None


def test_a_full_queue_is_full_for_everybody() -> None:
    assert refusal(PLACES, "answers", Caller("new", HERE), pages(15)) is None
    assert refusal(PLACES, "answers", Caller("new", HERE), pages(16)) == "full"


def test_kinds_do_not_wait_for_each_other() -> None:
    assert refusal(PLACES, "quick", Caller("new", HERE), pages(16) + pages(8, "openings")) is None


def test_programs_without_a_page_count_together() -> None:
    calls: list[tuple[Kind, Caller]] = [("answers", Caller(None, HERE))] * 8
    assert refusal(PLACES, "answers", Caller(None, HERE), calls) == "share"
    assert refusal(PLACES, "answers", Caller(None, HERE, key="a"), calls) is None
    assert refusal(PLACES, "answers", Caller("page", HERE), calls) is None


def test_a_key_has_its_own_share_from_wherever_it_comes() -> None:
    calls: list[tuple[Kind, Caller]] = [("answers", Caller(f"p{k}", f"10.0.0.{k}", "a")) for k in range(8)]
    assert refusal(PLACES, "answers", Caller(None, "10.0.1.1", "a"), calls) == "share"
    assert refusal(PLACES, "answers", Caller(None, "10.0.1.1", "b"), calls) is None


@pytest.mark.parametrize(("address", "expected"), [("10.0.0.7", "share"), (HERE, None)])
def test_many_pages_of_one_address_leave_a_quarter(address: str, expected: str | None) -> None:
    present = pages(12, address=address)
    assert refusal(PLACES, "answers", Caller("thirteenth", address), present) == expected
    assert refusal(PLACES, "answers", Caller("thirteenth", "10.9.9.9"), present) is None
