"""The pictures a visitor had drawn: files only this page's browser is told of, so many at most, gone with the page.

A picture drawn from words stays until the page closes or newer ones take its place. One that a study was changed into
belongs to that study and goes when it goes (`Session.show`).
"""

from __future__ import annotations

import os
import secrets

from omnivmed.generation.abilities import Task
from omnivmed.inference.reply import Picture
from omnivmed.ui.visit.drawn import Drawn
from omnivmed.ui.visit.opened import OpenStudy
from omnivmed.ui.visit.session import Session
from omnivmed.viz.change import before_png, changed_share, heat_png

FILE = "omnivmed-synthetic-{seed}.png"


def keep(session: Session, opened: OpenStudy | None, picture: Picture, task: Task, most: int) -> Drawn | None:
    """Write the picture's files and put it into the gallery, of which the oldest go above `most`.

    opened: the study it was made of. None, and nothing is left, when that study or the page has gone meanwhile.
    """
    folder = session.served_folder() / secrets.token_hex(16)
    folder.mkdir(mode=0o700)
    image, change = picture.image, picture.change
    files = [folder / FILE.format(seed=image.seed)]
    files[0].write_bytes(image.png)
    if change is not None:
        size = image.image.shape[:2]
        for name, data in (
            ("before", before_png(change.before, size)),
            ("change", heat_png(change.difference_map, size)),
        ):
            files.append(folder / f"{name}.png")
            files[-1].write_bytes(data)
    drawn = Drawn(
        folder.name,
        tuple(files),
        image.origin,
        change.explanation if change is not None else image.text,
        task,
        of_study=opened is not None,
        changed=None if change is None else changed_share(change.difference_map),
        no_change=change is not None and change.no_change,
    )
    return drawn if session.keep_drawn(drawn, opened, most) else None


def kept(session: Session) -> tuple[Drawn, ...]:
    """What is in the gallery, the newest first; its files are marked as used, for cleaning goes by age."""
    there = tuple(drawn for drawn in session.drawn if all(path.exists() for path in drawn.files))
    for drawn in there:
        for path in drawn.files:
            os.utime(path)
    return there[::-1]


def find(session: Session, name: object) -> Drawn | None:
    """The picture of this id."""
    return next((drawn for drawn in kept(session) if drawn.id == name), None)
