"""Every limit of the product in one place: what a study may be, what a worker may use, what an answer may cost.

`LOCAL` is for a person at their own machine, `PUBLIC` for a page open to anybody. The UI and `doctor` print them
with `Limits.describe()`; readers check declared sizes against them before anything is allocated.
"""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes, pixels, seconds; see the comment of each field for what happens above it."""

    # One study (TooLarge above, checked before decoding).
    upload_bytes: int = 2048 * MIB  # one file, or the sum of a folder or list of files
    image_pixels: int = 64_000_000  # rows x columns of a still or of one DICOM frame
    raw_voxel_bytes: int = 1024 * MIB  # decoded volume or still in its stored type, in shared memory
    volume_voxels: int = 512_000_000  # voxels of one volume
    video_pixels: int = 8_300_000  # width x height of one video frame, coded and as displayed
    video_seconds: float = 4 * 3600.0
    video_frames: int = 2_000_000  # packets indexed in the time-stamp pass
    zip_members: int = 4_000
    zip_bytes: int = 512 * MIB  # inflated members together
    zip_ratio: int = 200  # inflated / packed size of one member
    zip_ratio_floor_bytes: int = 1 * MIB  # smaller members are never judged by their ratio
    folder_files: int = 4_000
    inflate_bytes: int = 256 * MIB  # deflated DICOM data sets
    header_bytes: int = 1 * MIB  # text header of NRRD and MHA; NIfTI extensions

    # One worker process (it is killed above, and the study gets an error).
    worker_memory: int = 4096 * MIB  # RLIMIT_AS
    worker_cpu_s: int = 60  # per request: opening a study, or decoding one frame
    worker_wall_s: float = 60.0  # without a sign of life (a slice, a frame or a part of a file read)
    worker_total_s: float = 600.0  # for opening one study
    worker_files: int = 64  # open descriptors
    workers: int = 2  # studies decoded at the same time; others wait their turn
    open_clips: int = 8  # lazily read clips with a live worker; the oldest is closed and reopened when asked
    frame_cache_bytes: int = 64 * MIB  # decoded frames kept per clip

    # Privacy.
    confirm_burned_in: bool = False  # material that may show a name must be confirmed before a model sees it

    # One answer, and the service.
    max_question_chars: int = 4_000
    max_new_tokens: int = 1_024
    max_history_turns: int = 16
    max_frames: int = 256
    max_prompt_chars: int = 400  # of a picture to be drawn
    max_draw_steps: int = 100
    gallery_pictures: int = 12  # drawn pictures kept per page; the oldest goes first
    queue_size: int = 16
    waiting_uploads: int = 4  # times `upload_bytes`: sent but not opened yet, of all visitors together
    waiting_upload_minutes: int = 10  # a file that nobody opened by then is deleted
    idle_minutes: int = 30
    away_s: float = 30.0  # a page that was reloaded or left finds its study again within this time
    # All visitors together. Above, the study idle longest goes first; when none is idle, a newcomer waits.
    sessions: int = 512
    open_study_bytes: int = 8192 * MIB  # decoded pixels in memory
    visitor_files_bytes: int = 8192 * MIB  # on disk: uploads that stay and what browsers fetch

    def describe(self) -> list[tuple[str, str]]:
        """The limits in words, (what, how much) per line, for the page and for `doctor`."""
        return [
            ("upload", size(self.upload_bytes)),
            ("folder", f"{self.folder_files} files"),
            ("picture", f"{self.image_pixels / 1e6:.0f} million pixels"),
            ("volume", f"{self.volume_voxels / 1e6:.0f} million voxels, {size(self.raw_voxel_bytes)}"),
            ("video frame", f"{self.video_pixels / 1e6:.1f} million pixels"),
            (
                "video length",
                f"{self.video_seconds / 3600:g} hours, {self.video_frames / 1e6:g} million frames",
            ),
            ("zip", f"{self.zip_members} files, {size(self.zip_bytes)} unpacked"),
            (
                "decoder",
                f"{size(self.worker_memory)} of memory, {self.worker_wall_s:g} s without a sign of life, "
                f"{self.worker_total_s:g} s in all",
            ),
            ("question", f"{self.max_question_chars} characters"),
            ("answer", f"{self.max_new_tokens} tokens"),
            ("conversation", f"{self.max_history_turns} turns, {self.max_frames} slices or frames"),
            (
                "drawing",
                f"{self.max_prompt_chars} characters, {self.max_draw_steps} steps, "
                f"{self.gallery_pictures} pictures kept a page",
            ),
            ("people waiting", f"{self.queue_size}"),
            (
                "files of a visitor",
                f"{self.idle_minutes} minutes after the last click, {self.away_s:g} s after the page was left",
            ),
            (
                "all visitors together",
                f"{self.sessions} pages, {size(self.open_study_bytes)} of pixels, "
                f"{size(self.visitor_files_bytes)} of files",
            ),
        ]


def size(n_bytes: float) -> str:
    """A byte count for people: '256 MB', '2 GB' (binary multiples, rounded)."""
    if n_bytes >= 1024 * MIB:
        return f"{n_bytes / (1024 * MIB):.3g} GB"
    if n_bytes >= MIB:
        return f"{n_bytes / MIB:.3g} MB"
    return f"{n_bytes / 1024:.3g} kB"


LOCAL = Limits()
PUBLIC = Limits(
    upload_bytes=256 * MIB,
    raw_voxel_bytes=256 * MIB,
    volume_voxels=256_000_000,
    worker_memory=2048 * MIB,
    worker_cpu_s=20,
    worker_wall_s=30.0,
    worker_total_s=120.0,
    open_clips=16,
    frame_cache_bytes=32 * MIB,
    confirm_burned_in=True,
    max_question_chars=1_000,
    max_new_tokens=256,
    max_history_turns=8,
    max_frames=64,
    max_draw_steps=50,
    open_study_bytes=4096 * MIB,
    visitor_files_bytes=4096 * MIB,
)
