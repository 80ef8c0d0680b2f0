"""A clip that goes back to the page of whoever sent it, as it came."""

from __future__ import annotations

import os
import shutil

from omnivmed.ui.canvas.container import payload_path
from omnivmed.ui.visit.opened import OpenStudy
from omnivmed.ui.visit.session import Session

PLAYED = {"video/mp4": ".mp4", "video/webm": ".webm"}


def play_as_sent(session: Session, opened: OpenStudy) -> None:
    """Let the page of this visitor play the clip that it sent, where browsers can; otherwise one is made of its frames.

    Whether they can was found in its bytes by the worker. Not where something was painted out or cut off, which the
    file still shows. The copy has a name of ours, lies in the visitor's own folder and goes with the study.
    """
    study = opened.study
    ending = PLAYED.get(study.playable or "")
    if ending is None or len(opened.sources) != 1 or opened.painted or opened.cut or study.info.painted:
        return
    path = payload_path(session.served_folder(), "clip").with_suffix(ending)
    try:
        os.link(opened.sources[0], path)  # no second copy on the disk
    except OSError:
        try:
            shutil.copyfile(opened.sources[0], path)
        except OSError:
            path.unlink(missing_ok=True)
            return
    opened.served = (*opened.served, path)
    opened.video, opened.video_fps = path, None
