"""Uploads belong to who sent them, and none of them stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from omnivmed.errors import StudyError
from omnivmed.ui.visit.uploads import BROKEN_S, Uploads

HASH = "ab" * 32


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def served(tmp_path: Path) -> Path:
    (tmp_path / "served").mkdir()
    return tmp_path / "served"


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "mine").mkdir()
    return tmp_path / "mine"


def receive(uploads: Uploads, content: bytes = b"1", page: str | None = None) -> Path:
    """What the framework does with a file: a folder named by its content, our random name."""
    folder = uploads.served / HASH
    folder.mkdir(exist_ok=True)
    path = folder / uploads.hand("scan.dcm", page)
    path.write_bytes(content)
    return path


def refused(uploads: Uploads, path: Path, mine: Path, page: str | None = None) -> bool:
    with pytest.raises(StudyError, match="no longer there"):
        uploads.take_in([path], mine, page)
    return True


def test_what_was_sent_is_moved_under_a_random_name(served: Path, mine: Path) -> None:
    uploads = Uploads(served)
    sent = receive(uploads)
    (taken,) = uploads.take_in([sent], mine)
    assert taken.read_bytes() == b"1"
    assert taken.parent == mine
    assert taken.suffix == ".dcm"
    assert not sent.exists()
    assert refused(uploads, sent, mine)


def test_the_same_file_of_thirty_people_opens_for_thirty(served: Path, mine: Path) -> None:
    uploads = Uploads(served)
    sent = [receive(uploads) for _ in range(30)]
    assert len({path.parent for path in sent}) == 1
    assert len([uploads.take_in([path], mine)[0] for path in sent]) == 30


def test_only_the_page_that_sent_a_file_may_open_it(served: Path, mine: Path) -> None:
    uploads = Uploads(served)
    sent = receive(uploads, page="a")
    assert refused(uploads, sent, mine, "b")
    assert refused(uploads, sent, mine, None)
    assert sent.exists()
    assert uploads.take_in([sent], mine, "a")


@pytest.mark.parametrize(
    "where", ["samples/view.bin", "0123456789abcdef0123456789abcdef/study.bin", "half", f"{HASH}/deep/er"]
)
def test_views_samples_and_halves_are_nobodys_to_take(served: Path, mine: Path, where: str) -> None:
    path = served / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"view")
    assert refused(Uploads(served), path, mine)
    assert path.read_bytes() == b"view"


def test_nothing_outside_is_taken(served: Path, mine: Path, tmp_path: Path) -> None:
    uploads = Uploads(served)
    outside = tmp_path / "passwd"
    outside.write_bytes(b"secret")
    (served / HASH).mkdir()
    link = served / HASH / "link"
    link.symlink_to(outside)
    for path in (
        outside,
        served / ".." / "passwd",
        served / HASH / ".." / ".." / "passwd",
        link,
        served / HASH,
    ):
        assert refused(uploads, path, mine)
    assert outside.exists()


def test_halves_count_and_go_as_soon_as_nothing_arrives(served: Path) -> None:
    uploads = Uploads(served)
    (served / "tmpabc").write_bytes(b"x" * 100)
    receive(uploads, b"y" * 10)
    assert uploads.bytes() == 110
    uploads.arriving = 1
    assert uploads.drop_broken() == 0
    uploads.arriving = 0
    assert uploads.drop_broken() == 1
    assert uploads.bytes() == 10


def test_whose_a_file_would_have_been_is_forgotten_when_it_never_came(served: Path, mine: Path) -> None:
    uploads = Uploads(served)
    came, never = uploads.hand("a.png", "page"), uploads.hand("b.png", "page")
    (served / HASH).mkdir()
    (served / HASH / came).write_bytes(b"x")
    uploads.arriving = 1
    uploads.drop_broken()
    assert set(uploads._owner) == {came, never}
    uploads.arriving = 0
    uploads.drop_broken()
    assert set(uploads._owner) == {came}
    with pytest.raises(StudyError):
        uploads.take_in([served / HASH / came], mine, "another page")
    assert uploads.take_in([served / HASH / came], mine, "page")


def test_under_constant_arrivals_only_what_nobody_writes_goes(served: Path) -> None:
    clock = Clock()
    uploads = Uploads(served, clock)
    uploads.arriving = 1
    (served / "left").write_bytes(b"x")
    with (served / "written").open("wb"):
        uploads.drop_broken()
        clock.now += BROKEN_S + 1
        assert uploads.drop_broken() == 1
        assert (served / "written").exists()


def test_what_nobody_opens_goes_by_a_clock_that_cannot_be_set(served: Path) -> None:
    clock = Clock()
    uploads = Uploads(served, clock)
    first = receive(uploads, b"1")
    assert uploads.drop_forgotten(600) == 0
    clock.now += 500
    second = receive(uploads, b"2")
    import os

    os.utime(second, (0, 0))  # as after a jump of the time of day
    assert uploads.drop_forgotten(600) == 0
    clock.now += 101
    assert uploads.drop_forgotten(600) == 1
    assert not first.exists()
    assert second.exists()


def test_empty_folders_go_when_nothing_is_about_to_arrive(served: Path, mine: Path) -> None:
    uploads = Uploads(served)
    uploads.take_in([receive(uploads)], mine)
    assert (served / HASH).is_dir()  # somebody else may be sending the same file
    uploads.drop_broken()
    assert not (served / HASH).exists()
