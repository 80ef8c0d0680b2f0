"""Question + study → token ids, the one prompt format of training, evaluation and answering.

ChatML without a system prompt, the same for SmolLM2 and Qwen2.5 (`·` = one placeholder per kept token)::

    image    <|im_start|>user\\n···\\nQUESTION<|im_end|>\\n<|im_start|>assistant\\n
    video    <|im_start|>user\\nTime 0.0s:···,Time 1.0s:···\\nQUESTION<|im_end|>\\n<|im_start|>assistant\\n
    volume   <|im_start|>user\\n···,···,···\\nQUESTION<|im_end|>\\n<|im_start|>assistant\\n

The study stands in the first turn; later turns are text. The prompt is put together from ids, not from one
string: what a person types can never become a control token or a placeholder, it stays the text it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, Protocol

Kind = Literal["image", "volume", "video"]
Turn = tuple[str, str]  # (question, answer)

START = "<|im_start|>"
END = "<|im_end|>"


class Tokenizer(Protocol):
    """The little of a tokenizer that is used here; every transformers fast tokenizer has it."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]: ...

    def get_added_vocab(self) -> dict[str, int]: ...


@lru_cache(maxsize=16)
def _inside_added(contents: tuple[str, ...]) -> re.Pattern[str]:
    """Matches the place after the first character of any of `contents`, overlapping ones too."""
    places = [f"(?<={re.escape(c[0])})(?={re.escape(c[1:])})" for c in contents if len(c) > 1]
    return re.compile("|".join(places) or "(?!)")


def encode_text(tokenizer: Tokenizer, text: str) -> list[int]:
    """Ids of `text` as plain text: no control tokens added, and none recognised inside it.

    A tokenizer turns the characters `<|im_end|>` into the control token wherever they stand. Cutting the
    text inside every such string before encoding leaves it nothing to recognise.
    """
    if not text:
        return []
    added = tokenizer.get_added_vocab()
    cuts = [match.start() for match in _inside_added(tuple(sorted(added))).finditer(text)]
    ids: list[int] = []
    for begin, stop in zip([0, *cuts], [*cuts, len(text)], strict=True):
        ids += tokenizer.encode(text[begin:stop], add_special_tokens=False)
    control = set(added.values()).intersection(ids)
    if control:
        raise ValueError(f"plain text was encoded to control token(s) {sorted(control)}")
    return ids


def _control_id(tokenizer: Tokenizer, content: str) -> int:
    try:
        return tokenizer.get_added_vocab()[content]
    except KeyError:
        raise ValueError(f"this tokenizer has no {content} token; the prompt format needs ChatML") from None


def format_target(tokenizer: Tokenizer, answer: str) -> list[int]:
    """What the model has to say after `build_prompt`: the answer's ids and the closing <|im_end|>.

    Training supervises all of these and nothing else; decoding stops at the last of them.
    """
    return [*encode_text(tokenizer, answer.strip()), _control_id(tokenizer, END)]


def study_parts(
    kind: Kind,
    tokens_per_frame: Sequence[int],
    times_s: Sequence[float] | None,
    image_token_id: int,
    video_token_id: int,
) -> list[str | list[int]]:
    """The study as text and runs of placeholder ids, without the newline that follows it.

    tokens_per_frame: kept tokens of each sampled frame, in order; times_s: seconds of each frame, needed for
    video only. An image is one frame; several stills are written one per line.
    """
    if kind == "video" and (times_s is None or len(times_s) != len(tokens_per_frame)):
        got = "none" if times_s is None else str(len(times_s))
        raise ValueError(f"a video of {len(tokens_per_frame)} frames needs as many times, got {got}")
    placeholder = image_token_id if kind == "image" else video_token_id
    separator = "\n" if kind == "image" else ","
    parts: list[str | list[int]] = []
    for i, count in enumerate(tokens_per_frame):
        lead = separator if i else ""
        if kind == "video" and times_s is not None:
            lead += f"Time {times_s[i]:.1f}s:"
        parts += [lead, [placeholder] * int(count)]
    return parts


def build_prompt(
    tokenizer: Tokenizer,
    question: str,
    kind: Kind,
    tokens_per_frame: Sequence[int],
    times_s: Sequence[float] | None,
    history: Sequence[Turn],
    image_token_id: int,
    video_token_id: int,
) -> list[int]:
    """Token ids of the whole prompt, ending where the answer begins.

    history: earlier (question, answer) turns, oldest first; the study stands in the oldest question.
    The number of placeholders equals `sum(tokens_per_frame)`. An empty `tokens_per_frame` makes a prompt of
    text alone.
    """
    start, end = _control_id(tokenizer, START), _control_id(tokenizer, END)
    parts: list[str | list[int]] = []
    asked = [*(turn[0] for turn in history), question]
    for i, words in enumerate(asked):
        if i:
            parts += [[start], "assistant\n" + history[i - 1][1].strip(), [end], "\n"]
        parts += [[start], "user\n"]
        if i == 0 and len(tokens_per_frame):
            parts += study_parts(kind, tokens_per_frame, times_s, image_token_id, video_token_id)
            parts.append("\n")
        parts += [words.strip(), [end], "\n"]
    parts += [[start], "assistant\n"]

    ids: list[int] = []
    text = ""
    for part in parts:
        if isinstance(part, str):
            text += part
        elif part:
            ids += encode_text(tokenizer, text)
            ids += part
            text = ""
    return ids + encode_text(tokenizer, text)


def study_prefix_length(ids: Sequence[int], image_token_id: int, video_token_id: int) -> int:
    """Ids up to and with the last placeholder: what all questions on one study have in common."""
    for i in range(len(ids) - 1, -1, -1):
        if ids[i] in (image_token_id, video_token_id):
            return i + 1
    return 0
