"""`open_study`: the one door for every file, folder, list and archive."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from omnivmed.errors import StudyError
from omnivmed.frames import ArraySource, FrameSource
from omnivmed.io import pool, wire
from omnivmed.io.clip import LocalClip, RemoteClip
from omnivmed.io.handle import Handle
from omnivmed.io.job import LocalDesk, Reading, Upload, look
from omnivmed.io.report import array_of, info_of
from omnivmed.limits import LOCAL, Limits, size
from omnivmed.progress import Progress
from omnivmed.study import Study
from omnivmed.study_info import StudyInfo
from omnivmed.window import Window

PathLike = str | os.PathLike[str]
FOLDER_DEPTH = 6


def open_study(
    path: PathLike | Iterable[PathLike],
    window: Window | None = None,
    *,
    limits: Limits = LOCAL,
    isolated: bool = True,
    series: int | None = None,
    progress: Progress | None = None,
    glimpse: Callable[[Study], None] | None = None,
) -> Study:
    """Open a still, volume or clip: one file, a list of files of one study, a folder, or a zip of them.

    `window`: (level, width) in file units instead of the file's own or the automatic one. `series`: which entry of
    `study.series` to show when the upload holds several (the largest by default). `progress(stage, done, total)` is
    called while reading; raising from it cancels. `glimpse(study)` is called once at most while a long stack is read in
    isolation, with one of its slices as a volume of its own: something to look at meanwhile.
    `isolated=False` decodes in this process: faster for many small
    files, only for files you trust.

    Raises StudyError with a code and one sentence.
    """
    handles = collect(path, limits)
    if isolated and not pool.supported():
        raise StudyError(
            "Unsupported",
            "This platform cannot isolate the decoder; open files you trust with isolated=False.",
        )
    study = (
        _remote(handles, limits, series, progress, glimpse)
        if isolated
        else _local(handles, limits, series, progress)
    )
    if window is not None and study.channels == 1:
        try:
            return study.with_window(window)
        except ValueError:
            study.close()
            raise
    return study


def warm_up() -> None:
    """Start the decoder's first process now (about a second of imports), so that the first file opens at once."""
    if pool.supported():
        pool.FAMILY.start()


def collect(path: PathLike | Iterable[PathLike], limits: Limits) -> list[Handle]:
    """Handles of everything named: at least one, within the limits of count and size."""
    if path == "":  # Path("") would be the working folder
        raise StudyError("NotAnImage", "There is no such file; choose another one.")
    if isinstance(path, (str, os.PathLike)):
        paths = [Path(path)]
    else:
        paths = [Path(p) for p in path]
    handles: list[Handle] = []
    for one in paths:
        try:
            is_folder = one.is_dir()
        except (OSError, ValueError):
            is_folder = False
        if is_folder:
            handles.extend(_walk(one, limits.folder_files - len(handles), limits))
        else:
            handles.append(Handle.of(one))
        if len(handles) > limits.folder_files:
            raise _too_many(limits)
    if not handles:
        raise StudyError("NotAnImage", "There is no file in it; choose a folder with images, or one file.")
    total = sum(h.size for h in handles)
    if total > limits.upload_bytes:
        raise StudyError(
            "TooLarge",
            f"The upload has {size(total)} and the limit is {size(limits.upload_bytes)}; send a part of it.",
        )
    return handles


def _walk(folder: Path, room: int, limits: Limits, depth: int = FOLDER_DEPTH) -> list[Handle]:
    """Regular files below a folder, sorted by name; hidden ones and links are left out."""
    found: list[Handle] = []
    try:
        entries = sorted(os.scandir(folder), key=lambda e: e.name)
    except OSError:
        raise StudyError("NotAnImage", "The folder could not be read; choose another one.") from None
    for entry in entries:
        if entry.name.startswith(".") or entry.name == "__MACOSX":
            continue
        if entry.is_dir(follow_symlinks=False):
            if depth > 0:
                found.extend(_walk(Path(entry.path), room - len(found), limits, depth - 1))
        elif entry.is_file(follow_symlinks=False):
            found.append(Handle.of(Path(entry.path)))
        if len(found) > room:
            raise _too_many(limits)
    return found


def _too_many(limits: Limits) -> StudyError:
    return StudyError(
        "TooLarge",
        f"The upload has more than {limits.folder_files} files, which is the limit; send one study.",
    )


def _local(handles: list[Handle], limits: Limits, series: int | None, progress: Progress | None) -> Study:
    """In this process. Every failure still is a StudyError."""
    from omnivmed.io.read import read

    for handle in handles[:16]:
        handle.pin()
    uploads = [Upload(h.extension, h.size, h.open_binary) for h in handles]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reading = read(uploads, limits, series, LocalDesk(limits, progress))
    except (StudyError, KeyboardInterrupt, SystemExit):
        raise
    except MemoryError:
        raise StudyError(
            "TooLarge", "The study needs more memory than there is; send a smaller version."
        ) from None
    except Exception:
        raise StudyError(
            "Corrupt", "The file is damaged and could not be decoded; export it again."
        ) from None
    finally:
        for handle in handles:
            handle.unpin()
    return _assemble(reading, limits)


def _assemble(reading: Reading, limits: Limits) -> Study:
    source: FrameSource
    if reading.clip is not None:
        source = LocalClip(reading.clip, limits)
    elif reading.array is not None:
        source = ArraySource(look(reading.array, reading.axes, reading.flips))
    else:
        raise StudyError("Corrupt", "Nothing could be decoded; export the study again.")
    return Study(source, _asking(reading.info, limits))


def _remote(
    handles: list[Handle],
    limits: Limits,
    series: int | None,
    progress: Progress | None,
    glimpse: Callable[[Study], None] | None = None,
) -> Study:
    def look_at(message: dict[str, Any], blocks: list[wire.Block]) -> None:
        if glimpse is not None:
            # A copy: the block is the worker's until the study is whole.
            glimpse(Study(ArraySource(array_of(message, blocks).copy()), info_of(message, blocks)))

    with pool.turn(limits):
        message, blocks, child = pool.read_remote(
            handles, limits, series, progress, look_at if glimpse is not None else None
        )
    try:
        info = info_of(message, blocks)
        if "block" in message:
            array = array_of(message, blocks)
            child.end()
            return Study(ArraySource(array), _asking(info, limits))
        shape = _clip_shape(message)
        dtype = np.dtype(str(message["dtype"]))
        for handle in handles[:16]:
            handle.pin()
        source = RemoteClip(
            shape,
            info.channels,
            dtype,
            limits,
            child,
            partial(_reopen, handles, limits, series),
            partial(_release, handles),
        )
        return Study(source, _asking(info, limits))
    except (KeyError, TypeError, ValueError, IndexError):
        child.end()
        raise StudyError(
            "Corrupt", "The file is damaged and could not be decoded; export it again."
        ) from None
    except BaseException:
        child.end()
        raise


def _clip_shape(message: dict[str, object]) -> tuple[int, int, int]:
    shape = message["shape"]
    if not isinstance(shape, list) or len(shape) != 3 or any(not isinstance(n, int) or n < 1 for n in shape):
        raise ValueError("shape of a clip")
    return (shape[0], shape[1], shape[2])


def _reopen(handles: Sequence[Handle], limits: Limits, series: int | None) -> pool.Child:
    with pool.turn(limits):
        _, _, child = pool.read_remote(handles, limits, series, None)
    return child


def _release(handles: Sequence[Handle]) -> None:
    for handle in handles:
        handle.unpin()


def _asking(info: StudyInfo, limits: Limits) -> StudyInfo:
    """Material that may show a name must be confirmed first where the limits say so."""
    if limits.confirm_burned_in and "BurnedIn" in info.warnings:
        return replace(info, needs_confirmation=True)
    return info
