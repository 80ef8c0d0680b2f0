"""Pages of documentation as code: their fenced blocks, and what a terminal on them is shown to say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^```(\S*)([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block: "```python model" has the language `python` and the tag `model`."""

    language: str
    tag: str
    source: str
    line: int


def blocks(page: Path) -> list[Block]:
    """Every fenced block of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(found[1], found[2].strip(), found[3], text.count("\n", 0, found.start()) + 1)
        for found in _FENCE.finditer(text)
    ]


def commands(block: Block) -> list[tuple[str, str]]:
    """(command, output shown below it) of a `console` block; a command's line begins with "$ "."""
    parts = re.split(r"^\$ ([^\n]*)\n", block.source, flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2], strict=True))


def says(shown: str, real: str) -> bool:
    """Whether a program said what is shown: "…" alone on a line stands for any lines, elsewhere for any text."""
    pattern = ""
    for line in shown.splitlines():
        pattern += r"(?:.*\n)*?" if line == "…" else ".*".join(map(re.escape, line.split("…"))) + r"\n"
    return re.fullmatch(pattern, real if real.endswith("\n") or not real else real + "\n") is not None
