"""Large blocks go back to the system when they are freed, whatever was freed before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

#: A block of 24 MB freed raises the size up to which blocks come out of the heap; what is on top of the next one then
#: keeps it there.
CODE = """
import sys
from pathlib import Path
import numpy as np
from omnivmed.ui.visit.environment import prepare

if sys.argv[1:]:
    prepare(base=Path(sys.argv[1]))

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
def test_a_freed_block_is_no_longer_resident_in_a_page(tmp_path: Path) -> None:
    def grown(*folder: str) -> float:
        command = [sys.executable, "-c", CODE, *folder]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return float(done.stdout)

    assert grown(str(tmp_path)) < 5
    assert grown() > 15  # else this test says nothing
