"""`ask FILE "question"`: the answer streams to stdout, one line about it goes to stderr."""

from __future__ import annotations

import argparse
import json
import math
import sys
from typing import TYPE_CHECKING

from omnivmed.cli.common import ProgressLine, check_input, check_output, open_from, print_notes, save_overlay
from omnivmed.cli.loading import loaded, start_loading
from omnivmed.cli.parser import NOTICE

if TYPE_CHECKING:
    from omnivmed.inference import Answer, Assistant
    from omnivmed.study import Study

#: Who answered, where no model did.
SOURCES = {"file": "the file tells", "fixed": "a reply that is always the same", "both": "", "model": ""}


def run(args: argparse.Namespace) -> int:
    """Open, load, ask. The model loads while the file is decoded (in its own process)."""
    check_input(args.file)
    check_output(args.overlay)
    progress = ProgressLine()
    loading = start_loading(args)
    with open_from(args, progress) as study:
        print_notes(study)
        model = loaded(loading, progress)
        answer = _stream(model, study, args, progress)
        if args.overlay and answer.mask is not None:
            save_overlay(args.overlay, study, answer.mask)
    if args.json:
        print(json.dumps(answer.to_dict(), indent=1))
    for note in answer.notes:
        print(f"Note: {note}", file=sys.stderr)
    print(summary(answer), file=sys.stderr)
    return 0


def _stream(model: Assistant, study: Study, args: argparse.Namespace, progress: ProgressLine) -> Answer:
    from omnivmed.inference import AskOptions, Done, Failed, Stage, Text

    options = AskOptions(
        args.threshold, args.reference, args.max_frames, args.max_new_tokens, span_s=stretch(args)
    )
    for event in model.stream(study, args.question, options=options):
        if isinstance(event, Stage):
            if event.name != "answering":
                progress(event.name, event.done, event.total)
        elif isinstance(event, Text) and not args.json:
            progress.clear()
            print(event.piece, end="", flush=True)
        elif isinstance(event, Failed):
            progress.clear()
            raise event.error
        elif isinstance(event, Done):
            progress.clear()
            if not args.json:
                print(flush=True)
            return event.answer
    raise AssertionError("an answer ended without its last event")


def stretch(args: argparse.Namespace) -> tuple[float, float] | None:
    """(from, to) in seconds where one of the two was given."""
    if args.from_s is None and args.to_s is None:
        return None
    return args.from_s or 0.0, math.inf if args.to_s is None else args.to_s


def summary(answer: Answer) -> str:
    """Tokens, seconds, who spoke: one line."""
    before, after = answer.usage.visual_tokens_before, answer.usage.visual_tokens_after
    if not before:
        return f"{answer.model} was not asked: {SOURCES[answer.source]}. {NOTICE}"
    cut = " (cut at the token limit)" if answer.stopped == "length" else ""
    span = None if answer.mask is None else answer.mask.span_s
    where = "" if span is None else f" from {span[0]:.1f} s to {span[1]:.1f} s"
    return (
        f"{answer.model}{cut}: {after} of {before} visual tokens{where} kept ({after / max(before, 1):.0%}), "
        f"first word after {answer.timings_s.first_token:.1f} s, {answer.timings_s.total:.1f} s in all. "
        f"{NOTICE}"
    )
