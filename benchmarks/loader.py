"""python -m benchmarks.loader: start of the recipe's data loader on made-up rows, as many as PubMedVision has.

Writes the rows once (a JSON list in PubMedVision's layout, 22 % of them with several pictures; every picture has a name
of its own, but the names are links to a few hundred files), then starts as many processes as asked, each of which goes
the way of `train.loop.run` up to its first pass: sources read, costs, plan. Twice: with nothing kept, and as a resumed
run. Exit code 1 when it takes longer or more than the limits.

Memory is what the loader adds to a process that has imported the same and holds the tokenizer. USS is what a process
holds alone; RSS counts pages of files too that all of them share.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

ROWS = 647_031
FILES, WORDS = 400, 4_000
LIMIT_S, LIMIT_MB = 60.0, 200.0
ROOT = Path(__file__).resolve().parents[1]


def write(folder: Path, rows: int, seed: int = 0) -> None:
    """`PubMedVision/` with its alignment file and `images/` below `folder`; the same for a seed. Takes a minute."""
    root = folder / "PubMedVision"
    images = root / "images"
    images.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    files = []
    for number in range(FILES):
        high, wide = (int(side) for side in rng.integers(200, 900, 2))
        file = root / f"made-{number}.{'png' if number % 4 == 0 else 'jpg'}"
        Image.fromarray(np.full((high, wide, 3), number % 255, np.uint8)).save(file)
        files.append(file)
    letters = np.array(list("etaoinshrdlcumwfgypbvk"))
    words = ["".join(rng.choice(letters, int(size))) for size in rng.integers(2, 11, WORDS)]
    used = np.minimum(rng.zipf(1.3, (rows, 120)) - 1, WORDS - 1)  # few words often, most of them seldom
    lengths, several = rng.integers(25, 106, rows), rng.random(rows) < 0.22
    draft = root / "rows.part"
    with draft.open("w", encoding="utf-8") as out:
        out.write("[")
        for number in range(rows):
            names = []
            for k in range(1 + int(several[number]) * (1 + number % 3)):
                source = files[(number * 7 + k) % FILES]
                name = f"images/{number}_{k}{source.suffix}"
                if not (root / name).exists():
                    os.link(source, root / name)
                names.append(name)
            said = [words[place] for place in used[number]]
            turns = [
                {"from": "human", "value": "<image>\n" * len(names) + " ".join(said[:15]) + "?"},
                {"from": "gpt", "value": " ".join(said[15 : 15 + int(lengths[number])]) + "."},
            ]
            row = {"id": f"{number:06d}", "image": names, "conversations": turns, "modality": "CT"}
            out.write(("," if number else "") + json.dumps(row))
        out.write("]")
    draft.replace(root / "PubMedVision_Alignment_VQA.json")


def start(data: Path, out: Path, tokenizer: Path) -> dict[str, float]:
    """What one process does before its first step, and what it took."""
    import psutil
    from transformers import PreTrainedTokenizerFast

    import train.loop.run  # noqa: F401  (what a run has imported before it reads)
    from train.loop.loader import open_stage, plan_of
    from train.loop.world import rank
    from train.recipes import recipe

    config = recipe("omnivmed_1p5b_8x24gb")
    stage = config.stages[0]
    words = PreTrainedTokenizerFast(tokenizer_file=str(tokenizer))
    words.encode("warm")
    process = psutil.Process()
    before = process.memory_full_info()
    begun, spent = time.monotonic(), time.process_time()
    found = open_stage(config, stage, data, out, words)
    read = time.monotonic() - begun
    plan, steps, _ = plan_of(config, stage, found)
    first = [found.training[place].id for place in plan.passes(0)[rank()]]
    seconds, spent = time.monotonic() - begun, time.process_time() - spent
    after = process.memory_full_info()
    beside = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "process": rank(),
        "seconds": round(seconds, 1),
        "of them reading": round(read, 1),
        "cpu_s": round(spent, 1),
        "uss_mb": round((after.uss - before.uss) / 1e6, 1),
        "rss_mb": round((after.rss - before.rss) / 1e6, 1),
        "reader_cpu_s": round(beside.ru_utime + beside.ru_stime, 1),
        "reader_peak_mb": round(beside.ru_maxrss / 1e3, 1),
        "samples": len(found.training),
        "steps": steps,
        "passes": plan.slots,
        "first": len(first),
    }


def measure(data: Path, out: Path, tokenizer: Path, processes: int) -> list[dict[str, float]]:
    """`start` in so many processes at once, as torchrun would begin them."""
    code = (
        "import json, sys; from pathlib import Path; from benchmarks.loader import start;"
        " print(json.dumps(start(*map(Path, sys.argv[1:]))))"
    )
    call = [sys.executable, "-c", code, str(data), str(out), str(tokenizer)]
    running = []
    for rank in range(processes):
        world = {"RANK": str(rank), "WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
        env = {**os.environ, **world, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        running.append(subprocess.Popen(call, env=env, stdout=subprocess.PIPE, text=True))
    told = [one.communicate()[0] for one in running]
    if any(one.returncode for one in running):
        raise SystemExit("a process ended in an error")
    return [json.loads(text.splitlines()[-1]) for text in told]


def main(argv: list[str] | None = None) -> int:
    """0 when every process keeps to the limits."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loader", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "--data", type=Path, help="folder for the rows, kept and used again; default: temporary"
    )
    parser.add_argument(
        "--tokenizer", type=Path, help="tokenizer.json; default: 512 words made from the rows"
    )
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        data = args.data or Path(temporary) / "data"
        if not (data / "PubMedVision" / "PubMedVision_Alignment_VQA.json").is_file():
            print(f"writing {args.rows:,} rows", flush=True)
            write(data, args.rows)
        tokenizer = args.tokenizer or _tokenizer(data, Path(temporary))
        worst = 0.0
        for name in ("nothing kept", "as a resumed run"):
            rows = measure(data, Path(temporary) / "run", tokenizer, args.processes)
            print(f"\n{name}\n| {' | '.join(rows[0])} |\n|{'---|' * len(rows[0])}")
            for row in rows:
                print(f"| {' | '.join(str(value) for value in row.values())} |", flush=True)
                worst = max(worst, row["seconds"] / LIMIT_S, row["uss_mb"] / LIMIT_MB)
        print(f"\nlimits: {LIMIT_S:g} s, {LIMIT_MB:g} MB a process: {'kept' if worst <= 1 else 'NOT kept'}")
    return int(worst > 1)


def _tokenizer(data: Path, folder: Path) -> Path:
    from train.data.conversations import stream_pubmedvision
    from train.loop.build import tiny_tokenizer

    rows = stream_pubmedvision(data / "PubMedVision", "alignment")
    texts = [text for sample, _ in islice(rows, 500) if sample for turn in sample.turns for text in turn]
    tiny_tokenizer(texts).backend_tokenizer.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


if __name__ == "__main__":
    sys.exit(main())
