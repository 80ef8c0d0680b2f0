"""Open a study for a visitor and prepare what the viewer needs: decode, plan the pruning, pack."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnivmed.errors import StudyError
from omnivmed.inference.options import AskOptions
from omnivmed.limits import Limits
from omnivmed.progress import Progress
from omnivmed.ui import texts
from omnivmed.ui.canvas import payload
from omnivmed.ui.canvas.container import payload_path
from omnivmed.ui.canvas.pictures import opening_frame
from omnivmed.ui.visit.clips import play_as_sent
from omnivmed.ui.visit.counts import Counts
from omnivmed.ui.visit.environment import PrivateRoot
from omnivmed.ui.visit.first import FirstLook
from omnivmed.ui.visit.line import Line
from omnivmed.ui.visit.opened import OpenStudy
from omnivmed.ui.visit.samples import find_sample
from omnivmed.ui.visit.service import ModelService, SampleShelf
from omnivmed.ui.visit.session import Session, pixel_bytes
from omnivmed.ui.visit.sessions import SessionStore
from omnivmed.ui.visit.settings import AppSettings
from omnivmed.ui.visit.uploads import Uploads

if TYPE_CHECKING:
    from omnivmed.frames import Box, Span
    from omnivmed.pruning import KeepMask
    from omnivmed.study import Study
    from omnivmed.ui.canvas.transcode import Clip
    from omnivmed.vision import Patches

log = logging.getLogger("omnivmed.ui")
LOCAL_DISPLAY_BYTES = (
    192 * 2**20
)  # a 512 x 512 x 300 CT keeps every pixel where the browser is on the same machine
LONG_CLIP = 250  # frames from which on choosing and decoding those for the model takes a while
MOST_PIXELS = 12_000_000  # values; larger studies do without the "last kept" what-if in the browser


@dataclass(frozen=True)
class Context:
    """What every handler needs; made once per app."""

    settings: AppSettings
    root: PrivateRoot
    store: SessionStore
    service: ModelService
    shelf: SampleShelf
    uploads: Uploads
    line: Line = field(default_factory=lambda: Line(2))  # of uploads that wait to be decoded
    counts: Counts = field(default_factory=Counts)
    first: FirstLook = field(default_factory=FirstLook)  # the picture that comes with the page itself
    ended: threading.Event = field(default_factory=threading.Event)  # the program is about to stop

    def end(self) -> None:
        """Stop every answer, forget every visitor, close the samples."""
        self.ended.set()
        self.store.close()
        self.shelf.close()

    @property
    def limits(self) -> Limits:
        """The bounds of this run."""
        return self.settings.limits


def open_upload(
    context: Context,
    session: Session,
    files: Sequence[Path],
    options: AskOptions,
    progress: Progress | None = None,
    series: int | None = None,
    sight: Callable[[Path], None] | None = None,
) -> OpenStudy:
    """Decode files that `Uploads.take_in` has moved to the session's folder, and prepare the view.

    `sight(payload)` is called once at most, with one slice or frame that can be shown while the rest is prepared.

    Raises StudyError. The files of stills and volumes are deleted as soon as they are decoded, unless the
    upload holds several series to choose from; those of clips stay as long as the clip is open.
    """
    glimpses: list[Path] = []

    def look(one: Study) -> None:
        if sight is not None and not glimpses:
            glimpses.append(payload_path(session.served_folder(), "glimpse"))
            payload.pack_study(one, None, glimpses[0])
            sight(glimpses[0])

    study: Study | None = None
    try:
        study = open_study_files(context, session, files, progress, series, look)
        if context.limits.confirm_burned_in:  # known before anything can be asked
            study = search_text(context, session, study)
        # The view that browsers fetch is about as large as the pixels, at most.
        held = pixel_bytes(study)
        if not context.store.make_room(session, held, min(held, LOCAL_DISPLAY_BYTES)):
            raise StudyError("TooLarge", texts.CROWDED_STUDIES)
        opened = OpenStudy(study, label_of(study), sources=still_needed(study, files))
        if study.kind == "video" and study.shape[0] >= LONG_CLIP:
            look(first_frame(study))
        opened.served = tuple(glimpses)
        _prepare(context, opened, session.served_folder(), options, progress)
        if opened.needs_clip:
            play_as_sent(session, opened)
    except BaseException:
        if study is not None:
            study.close()
        for path in glimpses:
            path.unlink(missing_ok=True)
        raise
    return opened


def first_frame(study: Study) -> Study:
    """The beginning of a clip as a clip of one frame: decoded at once, while the frames for the model take longer."""
    from omnivmed.study import Study as Made

    frame = study.take([0])
    times = None if study.times_s is None else study.times_s[:1]
    return Made.from_array(
        frame, "video", spacing_mm=study.spacing_mm, times_s=times, modality=study.modality
    )


def still_needed(study: Study, files: Sequence[Path]) -> tuple[Path, ...]:
    """Delete the uploaded files of a decoded study; those of a clip, or of a choice of series, are returned."""
    if study.kind == "video" or len(study.series) > 1:
        return tuple(files)
    for path in files:
        path.unlink(missing_ok=True)
    return ()


def open_study_files(
    context: Context,
    session: Session,
    files: Sequence[Path],
    progress: Progress | None = None,
    series: int | None = None,
    glimpse: Callable[[Study], None] | None = None,
) -> Study:
    """`open_study` under the limits of this page, with one line in the log. Raises StudyError."""
    from omnivmed import open_study

    began = time.monotonic()
    size = sum(path.stat().st_size for path in files)
    source: Any = files[0] if len(files) == 1 else list(files)
    code, kind = "ok", "unknown"
    try:
        study: Study = open_study(
            source, limits=context.limits, series=series, progress=progress, glimpse=glimpse
        )
        kind = study.kind
        return study
    except Exception as error:
        code = getattr(error, "code", type(error).__name__)
        raise
    finally:
        seconds = time.monotonic() - began
        context.counts.opened(code, seconds)
        log.info(
            "session=%s open kind=%s bytes=%d seconds=%.2f code=%s", session.tag, kind, size, seconds, code
        )


def open_sample(
    context: Context, key: str, options: AskOptions, progress: Progress | None = None
) -> OpenStudy:
    """A sample with its view; both are made once per process and setting, and shared. Raises KeyError."""
    sample = find_sample(key)
    study = context.shelf.open(key, progress)
    opened = OpenStudy(study, sample.name, sample=key, shared=True, confirmed=True)

    def make() -> OpenStudy:
        folder = payload_folder(context.root)
        made = OpenStudy(study, sample.name)
        _prepare(context, made, folder, options, progress)
        return made

    view_key = (key, options.threshold, options.reference, options.max_frames, context.service.budget)
    view = context.shelf.view(view_key, make, lambda kept: all(path.exists() for path in kept.served))
    opened.mask, opened.payload, opened.pixels = view.mask, view.payload, view.pixels
    opened.needs_clip = view.needs_clip
    return opened


def search_text(context: Context, session: Session, study: Study) -> Study:
    """The study that knows where text is in it; as it was where the search is not installed.

    Under limits that ask for it, text has to be confirmed, and so has a study whose search failed.
    """
    from omnivmed.io import can_find_text, find_text

    if study.text_boxes is not None or not can_find_text():
        return study
    began, code = time.monotonic(), "ok"
    try:
        found = find_text(study, context.limits)
        return found.with_text(found.text_boxes or (), ask=context.limits.confirm_burned_in)
    except StudyError as error:
        code = error.code
        return study.with_question() if context.limits.confirm_burned_in else study
    finally:
        seconds = time.monotonic() - began
        log.info("session=%s search kind=%s seconds=%.2f code=%s", session.tag, study.kind, seconds, code)


def painted_with(opened: OpenStudy) -> tuple[Box, ...]:
    """What is painted out once all text that was found is: boxes in the pixels of the study as it was opened."""
    top, left = (0, 0) if opened.cut is None else (opened.cut[0][0], opened.cut[1][0])
    found = opened.study.text_boxes or ()
    moved = ((box[0] + top, box[1] + left, box[2] + top, box[3] + left) for box in found)
    return tuple(dict.fromkeys((*opened.painted, *moved)))


def open_part(
    context: Context,
    session: Session,
    opened: OpenStudy,
    cut: tuple[Span, Span] | None,
    painted: tuple[Box, ...],
    options: AskOptions,
    progress: Progress | None = None,
) -> OpenStudy:
    """The study as it was opened with these boxes painted out and only these rows and columns left (None: all).

    It has a view of its own, and takes the place of the one on the screen.
    """
    whole = (opened.whole or opened.study).with_window(opened.study.window)
    if cut == ((0, whole.shape[1]), (0, whole.shape[2])):
        cut = None
    part = whole.with_painted(painted)
    if cut is not None:
        part = part.with_crop(*cut)
    made = OpenStudy(
        part,
        opened.label,
        sample=opened.sample,
        shared=opened.shared,
        confirmed=opened.sample is not None,  # another picture has to be looked at anew
        whole=whole if painted or cut is not None else None,
        cut=cut,
        painted=painted,
        part_of=opened,
    )
    _prepare(context, made, session.served_folder(), options, progress)
    return made


def payload_folder(root: PrivateRoot) -> Path:
    """The folder of payloads that belong to nobody (samples)."""
    folder = root.served / "samples"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def cut(context: Context, study: Study, options: AskOptions) -> Patches:
    """The study as the model would be given it: sampled and cut to the model's own budget."""
    from omnivmed.vision import prepare

    return prepare(study, context.service.budget, max_frames=options.max_frames)


def plan(context: Context, study: Study, options: AskOptions) -> KeepMask:
    """What would be pruned if the model were asked now; needs no model."""
    from omnivmed.pruning import keep_mask

    return keep_mask(cut(context, study, options), options.threshold, options.reference)


def _prepare(
    context: Context, opened: OpenStudy, folder: Path, options: AskOptions, progress: Progress | None
) -> None:
    from omnivmed.pruning import keep_mask

    patches = cut(context, opened.study, options)
    opened.mask = keep_mask(patches, options.threshold, options.reference)
    local = not context.settings.public
    info = payload.pack_study(
        opened.study,
        opened.mask,
        payload_path(folder, "study"),
        max_bytes=LOCAL_DISPLAY_BYTES if local else payload.DISPLAY_BYTES,
        compress=None if local else True,
        progress=progress,
    )
    opened.payload = info.path
    opened.served = (*opened.served, info.path)
    sent = info.header.get("picture_index")
    opened.needs_clip = (
        opened.study.kind == "video" and sent is not None and len(sent) < opened.study.shape[0]
    )
    if len(opened.mask.frame_index) > 1 and patches.patches.size <= MOST_PIXELS:
        opened.pixels = payload.pack_pixels(
            patches, payload_path(folder, "pixels"), content_id=opened.study.content_id
        ).path
        opened.served = (*opened.served, opened.pixels)


def make_clip(
    context: Context, session: Session, opened: OpenStudy, stopped: Callable[[], bool], progress: Progress
) -> Clip | None:
    """A copy of a long clip that the browser can seek in; samples share theirs. None when stopped.

    Raises StudyError when a frame cannot be decoded.
    """
    from omnivmed.ui.canvas.transcode import transcode

    def tell(done: int, total: int) -> None:
        progress("transcoding", done, total)

    if opened.sample is not None and opened.whole is None:
        path = payload_path(payload_folder(context.root), "clip").with_suffix(".mp4")
        return context.shelf.view(
            ("clip", opened.sample),
            lambda: transcode(opened.study, path, progress=tell),
            lambda kept: kept is not None and kept.path.exists(),
        )
    path = payload_path(session.served_folder(), "clip").with_suffix(".mp4")
    session.keep(opened, path)
    return transcode(opened.study, path, progress=tell, stopped=stopped)


def first_look(opened: OpenStudy) -> int | None:
    """Slice a volume opens on: the one nearest the middle that the model is given, so its tokens show at once."""
    if opened.mask is None or opened.study.kind != "volume":
        return None
    return opening_frame(opened.study, opened.mask)


def label_of(study: Study) -> str:
    """A name for a study made of technical facts only: "CT volume", "ultrasound clip", "picture"."""
    modality, noun = texts.MODALITIES.get(study.modality or ""), texts.KINDS[study.kind]
    words = f"{modality} {noun}" if modality else texts.PICTURE if study.kind == "image" else noun
    return words[0].upper() + words[1:]


def facts_line(opened: OpenStudy) -> str:
    """One line under the picture: what it is, how large, at which window."""
    study = opened.study
    frames, rows, columns = study.shape
    parts = [opened.label]
    if study.modality and study.modality not in opened.label:
        parts.append(study.modality)
    if study.kind == "image":
        parts.append(texts.FACTS_IMAGE.format(rows=rows, columns=columns))
    elif study.kind == "volume":
        plane = f"{study.plane} " if study.plane else ""
        parts.append(texts.FACTS_VOLUME.format(frames=frames, plane=plane, rows=rows, columns=columns))
    else:
        length = float(study.times_s[-1]) if study.times_s is not None else 0.0
        parts.append(texts.FACTS_VIDEO.format(frames=frames, rows=rows, columns=columns, seconds=length))
    if study.spacing_mm is not None and study.kind != "video":
        parts.append(" × ".join(f"{s:.3g}" for s in study.spacing_mm if s is not None) + " mm")
        if study.spacing_at != "patient":
            parts[-1] += f" {texts.FACTS_LENGTHS[study.spacing_at]}"
    if study.window is not None:
        unit = " HU" if study.unit == "HU" else ""
        level, width = study.window
        parts.append(texts.FACTS_WINDOW.format(level=level, width=width, unit=unit))
    if opened.sample and find_sample(opened.sample).synthetic:
        parts.append(texts.SYNTHETIC)
    return " · ".join(parts)
