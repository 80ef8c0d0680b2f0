"""Passwords and keys come from where other users of the computer cannot read them."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from omnivmed.ui.visit.secrets import (
    LEAST_KEY,
    PASSWORD_VARIABLE,
    digest,
    label_of,
    login_name,
    read_keys,
    read_password,
)

KEY = "k" * LEAST_KEY


def secret(folder: Path, text: str, mode: int = 0o600) -> str:
    path = folder / "secret"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_a_password_on_the_command_line_is_refused_with_the_reason() -> None:
    assert login_name("teacher") == "teacher"
    with pytest.raises(ValueError, match="everybody on this computer"):
        login_name("teacher:secret")


def test_a_password_is_read_from_a_file_then_from_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, "from the variable")
    assert read_password(secret(tmp_path, "from the file\n")) == "from the file"
    assert read_password(None) == "from the variable"


def test_no_password_and_no_terminal_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(ValueError, match="--password-file"):
        read_password(None)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ValueError, match="chmod 600"):
        read_password(secret(tmp_path, "x\n", mode))


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n"])
def test_an_empty_or_missing_file_is_a_sentence_without_its_path(tmp_path: Path, text: str) -> None:
    for path in (secret(tmp_path, text), str(tmp_path / "missing")):
        with pytest.raises(ValueError, match="cannot be read") as told:
            read_password(path)
        assert str(tmp_path) not in str(told.value)


def test_keys_are_known_by_label_and_kept_as_digests(tmp_path: Path) -> None:
    keys = read_keys(secret(tmp_path, f"# who\nward {KEY}\nlab {KEY}2\n"))
    assert KEY not in str(keys)
    assert label_of(f"Bearer {KEY}", keys) == "ward"
    assert label_of(f"bearer {KEY}2", keys) == "lab"
    assert label_of(f"Bearer {KEY}3", keys) is None
    assert label_of(KEY, keys) is None
    assert label_of("", keys) is None
    assert digest(KEY) in keys


@pytest.mark.parametrize("text", ["ward short\n", f"a {KEY}\na {KEY}2\n", "alone\n"])
def test_weak_or_doubled_keys_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match="line"):
        read_keys(secret(tmp_path, text))
