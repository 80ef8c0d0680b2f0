"""What the fuzzer has found so far: one recipe per finding, each a regression test once it is mended.

`python -m tests.fuzz` prints the line to add here.
"""

from __future__ import annotations

from tests.fuzz.recipe import Recipe

# Each line: what it did, and the recipe that does it.
FINDINGS: tuple[tuple[str, Recipe], ...] = ()
