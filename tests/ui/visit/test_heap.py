"""Large blocks go back to the system when they are freed, whatever was freed before."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: A block of 24 MB freed raises the size up to which blocks come out of the heap; what is on top of the next one then
#: keeps it there.
CODE = """
import sys
import numpy as np
from omnivmed.ui.visit.heap import large_blocks_apart

if sys.argv[1] == "apart":
    assert large_blocks_apart()

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20

kept = []
def visit():
    block = np.ones(20 << 20, np.uint8)
    kept.append([np.ones(100_000, np.uint8) for _ in range(3)])  # smaller than a block with pages of its own
    del block

np.ones(24 << 20, np.uint8)
before = resident()
for _ in range(2):
    visit()
print(resident() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_a_freed_block_is_no_longer_resident() -> None:
    def grown(how: str) -> float:
        done = subprocess.run([sys.executable, "-c", CODE, how], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return float(done.stdout)

    assert grown("apart") < 5
    assert grown("as it is") > 15  # else this test says nothing
