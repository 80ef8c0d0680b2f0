"""What a visitor of the page reads in the first minutes: every chip of every sample, and the questions of a table.

    python -m benchmarks.first_minutes                # writes benchmarks/results/first_minutes.md
    python -m benchmarks.first_minutes --check        # exits 1 when an answer is not what it has to be

Asked as the page asks: a session opens the sample, `ui.visit.chat.ask` streams the answer, the model is nano.
The table (`first_minutes.tsv`) was written before the answers were made (set "before"), a second part after them
(set "after"), a third with a fresh eye (set "later"); the log says how many of each were right when first asked.
`expect` says who can know: header (truth: a pattern the answer must match), picture (the same, or a refusal), silent
(the file has no word of it), refuse (nobody here can know), fixed (not about a study).
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from omnivmed.inference import AskOptions
from omnivmed.spoken.reply import reply, suggestions
from omnivmed.ui.app import make_context
from omnivmed.ui.visit import chat, studies
from omnivmed.ui.visit.environment import PrivateRoot
from omnivmed.ui.visit.samples import SAMPLES
from omnivmed.ui.visit.session import Session
from omnivmed.ui.visit.settings import AppSettings
from omnivmed.ui.visit.studies import Context

TABLE = Path(__file__).with_name("first_minutes.tsv")
RESULTS = Path(__file__).with_name("results") / "first_minutes.md"
#: sample → what is true of it (SOURCES.md): attribute → pattern of a right answer.
TRUTH: dict[str, dict[str, str]] = {
    "chest_xray": {"kind": r"x-?ray|radiograph", "part": "chest", "view": r"\bPA\b", "size": "1,841"},
    "ct_abdomen": {"kind": r"\bCT\b", "plane": "axial", "slices": r"\b112\b", "apart": r"\b3 mm", "size": "122"},
    "mr_head": {"kind": r"\bMRI?\b", "plane": "axial", "slices": r"\b189\b", "apart": r"\b1 mm", "size": "197"},
    "echo_cine": {
        "kind": "ultrasound", "part": "heart", "long": r"\b4(?:\.0)? s", "rate": r"\b30\b", "frames": r"\b120\b",
        "size": "640",
    },
    "endoscopy_phantom": {
        "long": r"\b16(?:\.0)? s", "rate": r"\b25\b", "frames": r"\b400\b", "size": "448",
        "colour": "in colour",
    },
}  # fmt: skip
ABOUT = {
    "kind": r"what kind", "part": r"part of the body", "plane": "plane", "slices": "how many slices",
    "apart": "how far apart", "view": r"\bPA\b", "long": "how long", "rate": "frame rate", "frames": "how many frames",
    "size": "how large", "colour": "colour",
}  # fmt: skip
REFUSAL = (
    r"cannot|does not|was not shown|writes no|gives no|measures and counts nothing|nothing about the person"
)


@dataclass(frozen=True)
class Said:
    """One question, its answer, and whether that is what it has to be: "" or what is wrong."""

    set: str
    study: str
    question: str
    text: str
    source: str
    seconds: float
    wrong: str


class Visit:
    """One visitor with one sample open."""

    def __init__(self, context: Context, key: str) -> None:
        self.context, self.key = context, key
        self.session: Session = context.store.get(f"first-{key}")
        opened = studies.open_sample(context, key, AskOptions())
        self.session.show(opened, self.session.begin_opening())
        self.study = opened.study

    def ask(self, question: str) -> chat.Progressing:
        """The end of the answer, as the page shows it."""
        self.session.stop.clear()
        *_, last = chat.ask(self.context, self.session, question, AskOptions(), history=False, record=False)
        if last.answer is None:
            raise RuntimeError(f"{self.key}: {question}: {last.error}")
        return last

    def offers(self) -> list[str]:
        """The chips of the page."""
        return suggestions(self.study, self.context.service.knows)


def judged(expect: str, truth: str, text: str, source: str, offers: tuple[str, ...]) -> str:
    """What is wrong with an answer; empty when nothing is."""
    declines = re.search(REFUSAL, text, re.I) is not None
    if expect == "header":
        if re.search(truth, text, re.I) is None:
            return "does not say what the file knows"
        return "" if source in ("file", "both") else "not marked as the file's"
    if expect == "picture":
        return "" if re.search(truth, text, re.I) or declines else "neither right nor declined"
    if expect == "silent":
        if not declines:
            return "says what the file does not tell"
    elif expect == "refuse":
        if not declines:
            return "is not declined"
    elif source != "fixed":
        return "went to the model"
    needs = expect in ("refuse",) or (expect == "silent" and not re.search("It tells", text))
    return "offers nothing" if needs and len(offers) < 2 and "file" not in source else ""


def answers(context: Context) -> Iterator[Said]:
    """Every chip of every sample, then the table, in its order."""
    visits = {sample.key: Visit(context, sample.key) for sample in SAMPLES if sample.key in TRUTH}
    for key, visit in visits.items():
        for question in visit.offers():
            last = visit.ask(question)
            assert last.answer is not None
            about = next((a for a, pattern in ABOUT.items() if re.search(pattern, question, re.I)), None)
            truth = TRUTH[key].get(about or "")
            if truth is None:
                wrong = "" if re.search("window|colour", question, re.I) else "no truth is known of this chip"
            else:
                wrong = "" if re.search(truth, last.text, re.I) else "wrong"
                wrong = "declined" if re.search(REFUSAL, last.text, re.I) else wrong
            yield Said(
                "chip", key, question, last.text, last.answer.source, last.answer.timings_s.total, wrong
            )
    with TABLE.open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            visit = visits[row["study"]]
            last = visit.ask(row["question"])
            answer = last.answer
            assert answer is not None
            wrong = judged(row["expect"], row["truth"] or "", last.text, answer.source, answer.offers)
            for offer in answer.offers:
                told = reply(visit.study, offer, context.service.knows)
                if told is not None and told.source == "fixed":
                    wrong = wrong or f"offers “{offer}”, which is refused"
            yield Said(
                row["set"],
                row["study"],
                row["question"],
                last.text,
                answer.source,
                answer.timings_s.total,
                wrong,
            )


def report(found: list[Said]) -> str:
    """Markdown: a summary, then every answer."""
    lines = [
        "# The first minutes",
        "",
        "`python -m benchmarks.first_minutes`: nano, asked as the page asks.",
        "",
    ]
    lines += [
        "| questions | asked | as they have to be | from the file | file and model | model | fixed |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, words in (
        ("chip", "chips of the samples"),
        ("before", "written before"),
        ("after", "written after"),
        ("later", "written later"),
    ):
        part = [s for s in found if s.set == name]
        if part:
            by = [sum(s.source == source for s in part) for source in ("file", "both", "model", "fixed")]
            right = sum(not s.wrong for s in part)
            lines.append(f"| {words} | {len(part)} | {right} | " + " | ".join(map(str, by)) + " |")
    lines += ["", "| set | study | question | answer | who | |", "|---|---|---|---|---|---|"]
    for s in found:
        text = " ".join(s.text.split()).replace("|", "\\|")
        lines.append(f"| {s.set} | {s.study} | {s.question} | {text} | {s.source} | {s.wrong} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Ask everything; write the table or check it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_minutes", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when an answer is wrong")
    args = parser.parse_args(arguments)
    found = ask_all()
    wrong = [s for s in found if s.wrong]
    for s in wrong:
        print(f"{s.set} {s.study}: {s.question} → {s.text} [{s.source}]: {s.wrong}", file=sys.stderr)
    if not args.check:
        RESULTS.write_text(report(found), encoding="utf-8")
    print(f"{len(found) - len(wrong)} of {len(found)} as they have to be")
    return 1 if wrong else 0


def ask_all() -> list[Said]:
    """All answers, of a page that is put together for it and taken away again."""
    with tempfile.TemporaryDirectory(prefix="omnivmed-first-") as name:
        folder = Path(name)
        for part in ("sessions", "served"):
            (folder / part).mkdir()
        with (folder / "alive").open("w") as alive:
            root = PrivateRoot(folder, folder / "sessions", folder / "served", alive)
            context = make_context(AppSettings(model="nano", offline=True), root)
            context.service.start()
            context.service.wait(300)
            try:
                return list(answers(context))
            finally:
                context.store.close()
                context.shelf.close()


if __name__ == "__main__":
    sys.exit(main())
