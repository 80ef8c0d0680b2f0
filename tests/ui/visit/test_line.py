"""Who is before me?"""

from __future__ import annotations

from omnivmed.ui.visit.line import Line


def test_two_are_served_and_the_others_know_their_place() -> None:
    line = Line(2)
    a, b, c, d = (line.join() for _ in range(4))
    assert [line.ahead(one)[0] for one in (a, b, c, d)] == [0, 0, 1, 2]
    assert line.ahead(d) == (2, 2)
    line.leave(b)
    assert [line.ahead(one)[0] for one in (a, c, d)] == [0, 0, 1]
    line.leave(c)  # gone while waiting or served: all the same
    line.leave(c)
    assert line.ahead(d) == (0, 0)
