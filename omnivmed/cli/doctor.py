"""`doctor`: what is installed, which weights are here and whole, which device, how fast. Opens no connection."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import time
from importlib import metadata
from pathlib import Path

from omnivmed import __version__, weights
from omnivmed.errors import ModelError
from omnivmed.inference.cards import title_of
from omnivmed.resources import samples_dir

PACKAGES = (
    "torch transformers tokenizers safetensors gradio numpy pillow pydicom pylibjpeg-libjpeg nibabel "
    "av opencv-python-headless gguf huggingface_hub"
)


def run(args: argparse.Namespace) -> int:
    """Print what there is; exit code 1 when the embedded model cannot answer on this machine."""
    print(
        f"OmniV-Med {__version__} with {title_of('nano')}, Python {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}"
    )
    missing = _packages()
    _decoder()
    _machine(args.device, args.dtype)
    ready = _weights()
    if missing:
        print(f"Missing: {', '.join(missing)}. Install the package again, or in the repository: make app")
    elif ready and not args.quick:
        _speed(args.device, args.dtype)
    return 0 if ready and not missing else 1


def _packages() -> list[str]:
    print("\npackages")
    missing = []
    for name in PACKAGES.split():
        try:
            print(f"  {name:24} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
            print(f"  {name:24} not installed")
    return missing


def _decoder() -> None:
    from omnivmed.io import pool, warm_up, wire
    from omnivmed.limits import LOCAL, PUBLIC

    print("\nlimits of one study and one answer (in brackets: of a page open to anybody)")
    for (what, much), (_, public) in zip(LOCAL.describe(), PUBLIC.describe(), strict=True):
        print(f"  {what:24} {much}{f' ({public})' if public != much else ''}")
    print("\nwhere files are decoded")
    if not pool.supported():
        print(
            f"  {'process of its own':24} no: this platform cannot isolate a decoder, so the page takes no files"
        )
        return
    try:
        warm_up()
    except (wire.Closed, OSError):
        print(f"  {'process of its own':24} no: it does not start here")
        return
    print(f"  {'process of its own':24} yes, one for each study, with limits on memory, time and files")
    for wall, what, otherwise in (
        ("network", "cut off", "no: only closed to Python code (user namespaces are not allowed here)"),
        ("files", "cut off", "no: only the limits stand (this kernel has no Landlock)"),
    ):
        print(f"  {wall:24} {what if pool.FAMILY.walls.get(wall) else otherwise}")


def _machine(device: str, dtype: str) -> None:
    print("\nmachine")
    memory = _memory()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"  {'processors':24} {cores}")
    if memory:
        print(f"  {'memory':24} {memory[1] / 2**30:.1f} GB free of {memory[0] / 2**30:.1f}")
    cache = weights.cache_dir()
    place = cache
    while not place.exists() and place != place.parent:
        place = place.parent
    print(f"  {'cache':24} {cache} ({shutil.disk_usage(place).free / 2**30:.1f} GB free)")
    print(f"  {'samples':24} {samples_dir()}")
    try:
        from omnivmed.model.hardware import choose, use_physical_cores

        hardware = choose(device, dtype)
    except (ImportError, ModelError) as error:
        print(f"  {'device':24} {error}")
        return
    number = str(hardware.dtype).removeprefix("torch.")
    print(f"  {'device':24} {hardware.device}, {number} ({hardware.why}), {use_physical_cores()} threads")


def _memory() -> tuple[int, int] | None:
    """(total, available) bytes where the system tells."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    values = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.endswith("kB")}
    return values["MemTotal"], values["MemAvailable"]


def _weights() -> bool:
    from omnivmed.inference.loading import NANO_ADVICE, NANO_FILES, read_nano_config
    from omnivmed.weights.names import resolve

    print("\nweights")
    ready = True
    spec = weights.SMOLLM2
    try:
        weights.fetch_backbone(spec, offline=True)
        print(f"  {spec.name:24} whole (sha256 checked)")
    except ModelError as error:
        ready = False
        print(f"  {spec.name:24} {error.message}")
    source = resolve("nano")
    try:
        config = read_nano_config(source)
        weights.verify_folder(source.folder, NANO_FILES, NANO_ADVICE)
        print(f"  {'nano':24} version {config.get('version', '?')}, whole (sha256 checked)")
    except ModelError as error:
        ready = False
        print(f"  {'nano':24} {error.message}")
    return ready


def _speed(device: str, dtype: str) -> None:
    """Load nano and time its parts."""
    from omnivmed.inference import load_model
    from omnivmed.inference.speed import PROMPT, measure

    print("\nspeed of nano on this machine, as busy as it is now (wall, CPU)", flush=True)
    begun = time.perf_counter()
    model = load_model("nano", device, dtype, offline=True)
    print(
        f"  {'loading':24} {time.perf_counter() - begun:.1f} s, {time.process_time():.1f} s CPU since the start"
    )
    speed = measure(model)
    for what, (wall, cpu) in (
        ("one picture, encoded", speed.encode),
        (f"{PROMPT} tokens, read", speed.prefill),
        ("one token, said", speed.step),
    ):
        print(f"  {what:24} {wall * 1000:.0f} ms, {cpu * 1000:.0f} ms")
    print(f"  {'that is':24} {1 / speed.step[0]:.1f} tokens a second")
