"""docs/cli.md shows what `--help` says; renew it with `python -m tests.docs.test_cli`."""

from __future__ import annotations

import argparse
import os
import re
from unittest.mock import patch

import pytest

from omnivmed.cli.parser import build_parser
from tests.docs.pages import ROOT, blocks

PAGE = ROOT / "docs" / "cli.md"
OUTSIDE = ("SPACE_ID", "GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT")


def helps() -> dict[str, str]:
    """Command line → its help, 100 columns wide, away from what a host may have set."""
    settings = {name: value for name, value in os.environ.items() if name not in OUTSIDE}
    with patch.dict(os.environ, settings | {"COLUMNS": "100", "NO_COLOR": "1"}, clear=True):
        parser = build_parser()
        (commands,) = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
        named = {parser.prog: parser, **{command.prog: command for command in commands.choices.values()}}
        return {prog: command.format_help() for prog, command in named.items()}


def page() -> str:
    parts = [
        "# Every command and option\n",
        "What `--help` says; `omnivmed` and `python -m omnivmed` are the same. Worked examples: [api.md](api.md).\n",
    ]
    for prog, text in helps().items():
        parts.append(f"## {prog}\n\n```text\n{text.rstrip()}\n```\n")
    return "\n".join(parts)


def words(text: str) -> str:
    """Without line breaks and widths, which differ between versions of Python."""
    return re.sub(r"\s+", " ", text).strip()


def test_every_command_is_shown() -> None:
    assert len(blocks(PAGE)) == len(helps())


@pytest.mark.parametrize("prog", list(helps()))
def test_the_page_shows_what_help_says(prog: str) -> None:
    shown = [words(block.source) for block in blocks(PAGE)]
    assert words(helps()[prog]) in shown, "renew the page: python -m tests.docs.test_cli"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
