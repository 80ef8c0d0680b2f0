"""The tab "Rules": the same slice under every pruning rule, what each keeps of the study and of a drawn region.

The board needs no model: the study is cut as the model in use is given it, or as the public checkpoints would be. Below
it the model may be asked under each (`rules_said`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr
from pydantic import ValidationError

from omnivmed.errors import StudyError
from omnivmed.ui import texts
from omnivmed.ui.page import parts
from omnivmed.ui.page.figures import picture_uri
from omnivmed.ui.page.rules_board import DrawnRegion, RulesBoard, RulesValue, rules_value
from omnivmed.ui.tabs import rules_said
from omnivmed.ui.tabs.bench import Bench, Tab
from omnivmed.ui.tabs.screen import Updates
from omnivmed.ui.upstream import event_data
from omnivmed.ui.visit.opened import OpenStudy
from omnivmed.ui.visit.studies import Context

if TYPE_CHECKING:
    from omnivmed.pruning.region import Outline
    from omnivmed.study import Study
    from omnivmed.vision import VisionBudget

EDGE = 288  # longest edge of a frame as it is sent, pixels
QUALITY = 70
MODEL = "model"  # the budget of whoever is asked


@dataclass(frozen=True)
class RulesPage:
    """The components of the tab."""

    match: Any
    budget: Any
    show: Any
    status: Any
    board: Any
    said: rules_said.SaidPage


def build(context: Context) -> RulesPage:
    """Lay the tab out; call inside a `gr.Tab`."""
    gr.HTML(f'<div class="ov-saw"><p>{escape(texts.RULES_INFO)}</p></div>', padding=False)
    budget = gr.Radio(
        [(words, name) for name, words in texts.RULES_BUDGETS.items()],
        value=MODEL,
        show_label=False,
        container=False,
        elem_id="rules-budget",
    )
    with gr.Row():
        match = gr.Checkbox(
            False, label=texts.RULES_MATCH, container=False, elem_id="rules-match", min_width=220
        )
        show = gr.Button(texts.RULES_SHOW, variant="primary", size="sm", elem_id="rules-show", min_width=120)
    status = gr.HTML("", elem_id="rules-status", padding=False)
    board = RulesBoard(None, elem_id="rules-board")
    return RulesPage(match, budget, show, status, board, rules_said.build(context))


class Rules:
    """Handlers of the tab."""

    def __init__(self, context: Context, page: RulesPage) -> None:
        self.context = context
        self.page = page

    def shown(self, _: OpenStudy) -> Updates:
        """Another study: what is drawn is not of it."""
        return {self.page.board: None, self.page.status: ""}

    def draw(self, request: gr.Request, match: Any, budget: Any) -> Updates:
        """Every rule on the study of the screen."""
        return self._told(request, bool(match), budget, ())

    def region(self, request: gr.Request, match: Any, budget: Any, event: gr.EventData) -> Updates:
        """A region was drawn, or cleared: how much of it each rule keeps."""
        try:
            drawn = DrawnRegion.model_validate(event_data(event)).plain()
        except ValidationError:
            return {self.page.status: parts.error(texts.RULES_NO_REGION)}
        return self._told(request, bool(match), budget, drawn, pictures=False)

    def _told(
        self,
        request: gr.Request,
        match: bool,
        budget: Any,
        outlines: Sequence[Outline],
        *,
        pictures: bool = True,
    ) -> Updates:
        page, opened = self.page, self.context.store.get(request.session_hash).current
        if opened is None:
            return {page.status: parts.error(texts.NO_STUDY), page.board: None}
        try:
            value = self._value(opened.study, match, budget, outlines, pictures=pictures)
        except StudyError as error:
            return {page.status: parts.error(error.message), page.board: None}
        except ValueError:
            return {page.status: parts.error(texts.RULES_NO_REGION)}
        if value is None:
            return {page.status: parts.error(texts.RULES_ALONE), page.board: None}
        return {page.board: value, page.status: ""}

    def _value(
        self, study: Study, match: bool, budget: Any, outlines: Sequence[Outline], *, pictures: bool
    ) -> RulesValue | None:
        """None for a study of a single frame. Raises ValueError for outlines that are none."""
        from omnivmed.pruning.compare import compare, to_dict
        from omnivmed.pruning.region import outlined_tokens
        from omnivmed.vision import prepare

        chosen = self._budget(budget)
        patches = prepare(study, chosen)
        if len(patches.frame_index) < 2:
            return None
        region = outlined_tokens(outlines, patches) if outlines else None
        outcomes = compare(patches, match=match, region=region)
        frames = (
            [picture_uri(one, EDGE, QUALITY) for one in study.take(patches.frame_index)] if pictures else []
        )
        return rules_value(
            patches,
            outcomes,
            of=f"{study.content_id} {chosen.name} {match}",
            frames=[uri for uri, _, _ in frames],
            size=frames[0][1:] if frames else None,
            report=json.dumps(to_dict(study, patches, outcomes, match), indent=1),
        )

    def _budget(self, name: Any) -> VisionBudget:
        from omnivmed.vision import DEFAULT_BUDGET

        return self.context.service.budget if name == MODEL else DEFAULT_BUDGET


def wire(bench: Bench, page: RulesPage) -> None:
    """Events of the tab."""
    rules = Rules(bench.context, page)
    outputs = [page.board, page.status]
    bench.when_shown.add(rules.shown, outputs)
    asked = [page.match, page.budget]
    page.show.click(rules.draw, asked, outputs, **bench.quick)
    for control in asked:
        control.input(rules.draw, asked, outputs, **bench.quick)
    page.board.region(rules.region, asked, outputs, **bench.quick)
    rules_said.wire(bench, page.said, page.match)


TAB = Tab(build, wire, id="rules", title=texts.RULES)
