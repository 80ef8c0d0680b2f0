"""Every sentence the page shows. The words are in `texts.json`, the one file to translate; here are their names.

The section `page` of that file is read here, `viewer` by the viewer's script (`canvas/static/texts.js`). The rest of
the page says `from omnivmed.ui import texts`, then `texts.ASK`: the package hands out the one object made below.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel


class Texts(BaseModel, frozen=True, extra="forbid", strict=False):
    """The words of the page. Names in braces are filled in by `str.format` where the sentence is used."""

    FILE: ClassVar[Path] = Path(__file__).with_name("texts.json")

    TITLE: str
    TAGLINE: str
    NOT_CLINICAL: str
    NOT_CLINICAL_LONG: str
    PUBLIC_BANNER: str

    # Picking a study
    UPLOAD: str
    UPLOAD_DROP: str
    DROP_HERE: str
    DROP_CLOSE: str
    DROP: dict[str, str]
    CODES: dict[str, str]
    ABOUT: str
    ABOUT_FROM: dict[str, str]
    FOLDER: str
    SERIES: str
    CONFIRM_LABEL: str
    CONFIRM_ASK: str
    CONFIRM_NOBODY: str
    PAINT_FOUND: str
    PAINT_FOUND_ONE: str
    PAINT_DONE: str
    PAINT_DONE_ONE: str
    PAINT_OUT: str
    PAINT_BACK: str
    CROP: str
    CROP_INFO: str
    CROP_SIDES: tuple[str, ...]
    CROP_CUT: str
    CROP_WHOLE: str
    CROP_ALT: str
    CROP_TOO_MUCH: str
    SYNTHETIC: str

    # Opening
    STILL_SHOWN: str
    OPENING: str
    BOOTING: str
    UPLOADING_DONE: str
    STAGES: dict[str, str]
    STAGE_UNITS: dict[str, str]

    # The model
    MODEL_LOADING: str
    MODEL_FAILED: str
    MODEL_WAIT: str
    MODEL_MISSING: str
    MAY_ASK: str
    MAY_ASK_KINDS: dict[str, str]
    MAY_ASK_NONE: str

    # Asking
    QUESTION: str
    ASK_TAB: str
    SWITCH: dict[str, str]
    ASK: str
    STOP: str
    ASK_PLACEHOLDER: str
    CHAT_EMPTY: str
    CHAT_LABEL: str
    NEW_CHAT: str
    STOPPED: str
    LENGTH: str
    NO_STUDY: str
    STILL_OPENING: str
    NO_QUESTION: str
    ALREADY: str
    TOO_LONG: str
    BUSY: str
    UNHEARD: str
    BUSY_PAGE: str
    NO_ROOM: str
    TOO_MUCH_DATA: str
    STUDY_CHANGED: str
    OUT_OF_MEMORY: str
    UNEXPECTED: str

    # Settings
    SETTINGS: str
    THRESHOLD: str
    THRESHOLD_INFO: str
    REFERENCE: str
    REFERENCES: dict[str, str]
    REFERENCE_INFO: str
    MAX_FRAMES: str
    MAX_FRAMES_INFO: str
    MAX_NEW_TOKENS: str
    REMEMBER: str
    REMEMBER_INFO: str
    LIMITS: str

    # What the model saw
    SAW: str
    SAW_EMPTY: str
    CHARTS: str
    CHART_DISTANCES: str
    CHART_FRAMES: str
    CHART_CURVE: str
    CHART_DISTANCE: str
    CHART_SLICE: str
    CHART_TIME: str
    CHART_HOVER_COUNT: str
    CHART_HOVER_FRAME: str
    CHART_HOVER_CURVE: str
    CHART_SUMMARY: str
    SAW_PLANNED: str
    SAW_FLOOR: str
    PRUNING_SAVES: str
    DOWNLOAD_JSON: str
    DOWNLOAD_CHAT: str
    MAKE_CLIP: str
    DOWNLOAD_OVERLAY: str

    # Side by side
    COMPARE: str
    COMPARE_INFO: str
    COMPARE_COPY: str
    COMPARE_NOTE: str
    COMPARE_RUN: str
    COMPARE_LEFT: str
    COMPARE_RIGHT: str

    # Default questions, by kind of study, where the model does not bring its own
    QUESTIONS: dict[str, tuple[str, ...]]
    API_ASK: str
    API_GENERATE: str
    API_REFERENCE: str
    API_TASK: str
    API_PRUNE: str

    # Pages
    TO_TEACH: str
    TO_APP: str
    RULES: str
    RULES_INFO: str
    RULES_BUDGETS: dict[str, str]
    RULES_MATCH: str
    RULES_SHOW: str
    RULES_ALONE: str
    RULES_NO_REGION: str
    RULES_PLACES: dict[str, str]
    RULES_COUNTS: str
    RULES_LOOKS: dict[str, str]
    RULES_COMPARISON: str
    RULES_REGION: str
    RULES_REGION_KEPT: str
    RULES_NOTE: str
    RULES_SAID: str
    RULES_SAID_QUESTION: str
    RULES_SAID_OVER: dict[str, str]
    RULES_SAID_ASK: str
    RULES_SAID_FIRST: str
    RULES_SAID_HEAD: tuple[str, ...]
    RULES_SAID_NOTE: str
    RULES_BOARD: dict[str, str]
    QUIZ: dict[str, str]
    TEACH_HANDOUT: str
    TEACH_TITLE: str
    TEACH_TAGLINE: str
    TEACH_STUDY: str
    TEACH_PLACE: str
    TEACH_MEANS: str
    TEACH_ALONE: str
    TEACH_SLICE: str
    TEACH_FRAME_AT: str
    TEACH_TOKENS: str
    TEACH_CHANGE: str
    TEACH_DISTANCES: str
    TEACH_KEPT: str
    TEACH_GIVEN: str
    TEACH_COUNT: str
    TEACH_LEFT: str
    TEACH_LOOK: str
    TEACH_LOOKS: dict[str, str]
    TEACH_TAKEN: dict[str, dict[str, str]]
    TEACH_ORDINALS: tuple[str, ...]
    TEACH_APART: dict[str, str]
    TEACH_QUESTION: str
    TEACH_QUESTIONS: dict[str, tuple[str, ...]]
    TEACH_ASK: str
    TEACH_SAID: tuple[str, ...]
    TEACH_SAID_FACTS: str
    TEACH_SAID_SAME: str
    TEACH_SAID_OTHER: str
    TEACH_LECTURE: str
    TEACH_LECTURE_KEYS: str
    TEACH_THRESHOLD: str
    TEACH_COST_HEAD: tuple[str, ...]
    TEACH_COST: dict[str, str]
    TEACH_OWN: str
    TEACH_OWN_WORDS: str
    TEACH_STEPS: tuple[tuple[str, ...], ...]

    # Names of studies, made of technical facts; the line of facts below the samples
    MODALITIES: dict[str, str]
    KINDS: dict[str, str]
    PICTURE: str
    SAMPLE_NAMES: dict[str, str]
    FACTS_IMAGE: str
    FACTS_VOLUME: str
    FACTS_VIDEO: str
    FACTS_LENGTHS: dict[str, str]
    FACTS_WINDOW: str
    NOTES_LABEL: str

    # The line below an answer
    ANSWER_SHORT: str
    ANSWER_UNASKED: dict[str, str]
    ANSWER_TOKENS: str
    ANSWER_PLACE: dict[str, str]
    ANSWER_NEAR: dict[str, str]
    ANSWER_TAKEN: dict[str, str]
    ANSWER_SPAN: str
    ANSWER_OUT: str
    ANSWER_FIRST: str
    ANSWER_TOTAL: str
    ANSWER_CACHED: str
    STOPPED_AFTER: str
    NO_ANSWER: str
    ASK_AT_TIME: str
    NO_CLIP: str
    ASK_STRETCH: str
    ASK_AROUND: str
    ASK_NEIGHBOURS: str
    ASK_ON_SLICE: str

    # What the model saw, in numbers
    SAW_UNITS: dict[str, str]
    SAW_TAKEN: str
    SAW_TAKEN_IMAGE: str
    SAW_KEPT: str
    SAW_ALONE: str
    SAW_FRAME: str
    SAW_TOKENS: str
    SAW_TIME: str
    SAW_USAGE: dict[str, str]
    SAW_TIMES: dict[str, str]

    # Side by side, in numbers
    COMPARE_TITLE: str
    COMPARE_HEAD: tuple[str, ...]
    COMPARE_ROWS: dict[str, str]
    YES: str
    NO: str

    # The conversation as a file
    # Drawing
    GENERATE: str
    DRAW_FIXED: str
    DRAW_WAITING: str
    DRAW_MISSING: str
    DRAW_NOT_TRAINED: str
    DRAW_WHAT: dict[str, str]
    DRAW_ASKS: dict[str, str]
    DRAW_PROMPT: str
    DRAW_PLACEHOLDER: str
    DRAW_SLICE: str
    DRAW_WITH_PICTURE: str
    DRAW_GO: str
    DRAW_REPORT: str
    DRAW_REPORT_LABEL: str
    DRAW_SETTINGS: str
    DRAW_SEED: str
    DRAW_SEED_INFO: str
    DRAW_STEPS: str
    DRAW_STEPS_INFO: str
    DRAW_GUIDANCE: str
    DRAW_GUIDANCE_INFO: str
    DRAW_GUIDANCE_IMAGE: str
    DRAW_NO_PROMPT: str
    DRAW_PREVIEW: str
    DRAW_DONE: str
    DRAW_FACTS: str
    DRAW_SIZE: str
    DRAW_CHANGED: str
    DRAW_NO_CHANGE: str
    DRAW_GONE: str
    DRAW_BOARD: dict[str, str]

    # What is taken away
    EXPORT_TITLE: str
    EXPORT_STUDY: str
    EXPORT_PROGRAM: str
    EXPORT_MODEL: str
    EXPORT_OFF: str
    EXPORT_PRUNING: str
    EXPORT_WINDOW: str
    EXPORT_NO_WINDOW: str

    # The command line, the start, the edges
    NO_FILE: str
    UPLOAD_GONE: str
    MODEL_UNLOADABLE: str
    OTHER_HOST: str
    OTHER_PAGE: str
    KEY_NEEDED: str
    CROWDED_STUDIES: str
    CROWDED_PAGES: str
    ENDED: dict[str, str]
    EARLIER_TURNS: str
    NO_WALLS: str
    METRICS: dict[str, str]
    LOGIN_SILENCE: str
    BUSY_FULL: str
    DISK_FULL: str
    ODD_UPLOAD: str
    NOT_HERE: str
    FILE_NOT_WORDS: str
    NO_ADDRESS: str
    FOOTER_PROGRAM: str
    PROGRESS_COUNT: str
    PROGRESS_BYTES: str
    COMMAND_ABOUT: str
    COMMAND_HELP: dict[str, str]
    COMMAND_THRESHOLD: str
    COMMAND_PORT: str
    COMMAND_PORT_TAKEN: str
    COMMAND_ADDRESS: str
    COMMAND_LOGIN: str
    COMMAND_PASSWORD: str
    COMMAND_PASSWORD_ALONE: str
    COMMAND_PASSWORD_UNUSED: str
    COMMAND_PASSWORD_ASK: str
    COMMAND_SECRET_FILE: str
    COMMAND_SECRET_OPEN: str
    COMMAND_KEY_SHORT: str
    COMMAND_MCP: str
    COMMAND_OPEN: str
    COMMAND_READY: str
    COMMAND_READY_ELSEWHERE: str
    FOLDER_NOT_PLAIN: str
    FOLDER_NOT_OURS: str
    UNKNOWN_GRADIO: str

    @classmethod
    def read(cls, path: Path | None = None) -> Texts:
        """The section `page` of a file of words; `FILE` unless given.

        Raises pydantic's ValidationError, which lists every name that is missing, unknown or of another shape.
        """
        page = json.loads((path or cls.FILE).read_text(encoding="utf-8"))["page"]
        return cls.model_validate(page)


texts = Texts.read()
