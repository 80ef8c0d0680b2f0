"""The quiz of the teaching page: five predictions about the study on the screen, checked against its mask."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from omnivmed.inference.options import AskOptions
from omnivmed.ui import texts
from omnivmed.ui.page import parts
from omnivmed.ui.page.figures import lettered_figure
from omnivmed.ui.tabs.bench import Bench
from omnivmed.ui.tabs.screen import Updates
from omnivmed.ui.visit.lesson import Lesson
from omnivmed.ui.visit.quiz import checked, make_quiz
from omnivmed.ui.visit.studies import Context

if TYPE_CHECKING:
    from omnivmed.ui.visit.lesson import Item, View

MOST = 5


@dataclass(frozen=True)
class QuizPage:
    """The components: for each question its choices and what is said about them."""

    begin: Any
    figure: Any
    choices: tuple[Any, ...]
    said: tuple[Any, ...]
    check: Any
    score: Any


def build() -> QuizPage:
    """Lay the quiz out; call inside its screen."""
    gr.HTML(
        f'<div class="ov-teach"><h2>{escape(texts.QUIZ["title"])}</h2><p>{escape(texts.QUIZ["words"])}</p></div>',
        padding=False,
    )
    begin = gr.Button(texts.QUIZ["begin"], elem_id="teach-quiz-begin")
    choices, said = [], []
    figure = gr.HTML("", elem_id="teach-quiz-figure", padding=False)
    for number in range(1, MOST + 1):
        choices.append(gr.Radio([], label=str(number), visible=False, elem_id=f"teach-quiz-{number}"))
        said.append(gr.HTML("", elem_id=f"teach-quiz-said-{number}", padding=False))
    check = gr.Button(texts.QUIZ["check"], variant="primary", visible=False, elem_id="teach-quiz-check")
    score = gr.HTML("", elem_id="teach-quiz-score", padding=False)
    return QuizPage(begin, figure, tuple(choices), tuple(said), check, score)


class Quiz:
    """Its handlers."""

    def __init__(self, context: Context, page: QuizPage) -> None:
        self.context = context
        self.page = page

    def begin(self, request: gr.Request, look: Any, threshold: Any, reference: Any) -> Updates:
        """New questions about the study, the threshold and the reference on the screen."""
        page, lesson = self.page, self.context.store.get(request.session_hash).lesson
        if not isinstance(lesson, Lesson):
            return {page.score: parts.error(texts.NO_STUDY)}
        options = AskOptions.bounded(self.context.limits, threshold, reference)
        view = lesson.view(look)
        lesson.quiz = make_quiz(view, options.threshold, options.reference)
        if not lesson.quiz:
            return {**self.cleared(), page.score: parts.error(texts.TEACH_ALONE)}
        updates = self.cleared()
        for number, (item, radio) in enumerate(zip(lesson.quiz, page.choices, strict=False), 1):
            label = f"{number}. {item.question}"
            updates[radio] = gr.Radio(list(item.options), value=None, label=label, visible=True)
        pictured = next((item for item in lesson.quiz if item.frame is not None), None)
        updates[page.figure] = "" if pictured is None else figure(view, pictured)
        updates[page.check] = gr.Button(visible=True)
        return updates

    def cleared(self) -> Updates:
        """No questions: none were asked yet, or another study is on the screen."""
        page = self.page
        return {
            **{radio: gr.Radio([], value=None, visible=False) for radio in page.choices},
            **dict.fromkeys(page.said, ""),
            page.figure: "",
            page.check: gr.Button(visible=False),
            page.score: "",
        }

    def check(self, request: gr.Request, *chosen: Any) -> Updates:
        """Right or wrong, and the numbers."""
        page, lesson = self.page, self.context.store.get(request.session_hash).lesson
        if not isinstance(lesson, Lesson) or not lesson.quiz:
            return {page.score: parts.error(texts.QUIZ["gone"])}
        right, told = checked(lesson.quiz, chosen)
        marks = {True: "ov-right", False: "ov-wrong", None: ""}
        said = [f'<p class="ov-quiz {marks[verdict]}">{escape(words)}</p>' for verdict, words in told]
        score = texts.QUIZ["score"].format(right=right, count=len(lesson.quiz))
        return {
            **dict(zip(page.said, said, strict=False)),
            page.score: f'<p class="ov-quiz" role="status"><b>{escape(score)}</b></p>',
        }


def figure(view: View, item: Item) -> str:
    """The frame a question is about, with a letter on each token it names."""
    k = item.frame or 0
    drawn = lettered_figure(
        view.frames[k], view.patches.rects, item.marks, texts.QUIZ["figure"].format(name=item.place)
    )
    return f'<div class="ov-figure">{drawn}</div>'


def wire(context: Context, page: QuizPage, asked: list[Any]) -> list[Any]:
    """Events; asked: look, threshold and reference. Returns what has to be cleared with another study."""
    quiz = Quiz(context, page)
    shown = [page.figure, *page.choices, *page.said, page.check, page.score]
    page.begin.click(quiz.begin, asked, shown, **Bench.quick)
    page.check.click(quiz.check, [*page.choices], [*page.said, page.score], **Bench.light)
    return shown
