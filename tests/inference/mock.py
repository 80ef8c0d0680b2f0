"""A model that says what it is told to: the engine's behaviour without weights and without torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnivmed.inference import Answer
from omnivmed.inference.engine import LocalAssistant
from omnivmed.pruning import KeepMask
from omnivmed.vision import NANO_BUDGET, Patches

IMAGE, VIDEO = 4, 5


#: The mock's features are the token numbers, raised so that they cannot be taken for ids.
FIRST_ROW = 10_000_000
CONTROL = {"<|im_start|>": 1, "<|im_end|>": 2, "<|endoftext|>": 3, "<filename>": IMAGE, "<file_sep>": VIDEO}


class CharTokenizer:
    """One id per character, and five control tokens it recognises wherever they stand, as real ones do."""

    def get_added_vocab(self) -> dict[str, int]:
        return dict(CONTROL)

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        ids: list[int] = []
        while text:
            for content, number in CONTROL.items():
                if text.startswith(content):
                    ids.append(number)
                    text = text[len(content) :]
                    break
            else:
                ids.append(100 + ord(text[0]))
                text = text[1:]
        return ids

    def show(self, ids: list[int]) -> str:
        names = {number: content for content, number in CONTROL.items()} | {IMAGE: "·", VIDEO: ":"}
        return "".join(names.get(i) or chr(i - 100) for i in ids)


@dataclass
class MockConversation:
    """Holds its positions in a list; `say` are the token ids it answers with, whatever is asked."""

    runtime: MockRuntime
    positions: list[Any] = field(default_factory=list)
    spoken: int = 0
    certainty: float | None = None

    @property
    def length(self) -> int:
        return len(self.positions)

    @property
    def nbytes(self) -> int:
        return 100 * len(self.positions)

    def prefill(self, ids: Sequence[int], visual: Any) -> int:
        self.runtime.tick("prefill")
        rows = iter([] if visual is None else visual.tolist())
        self.positions += [next(rows) if i in (IMAGE, VIDEO) else i for i in ids]
        assert next(rows, None) is None, "more visual rows than placeholders"
        self.runtime.prefilled += len(ids)
        self.spoken = 0
        self.certainty = 0.75
        return self.runtime.say[0]

    def step(self, token: int) -> int:
        self.runtime.tick("step")
        self.positions.append(token)
        self.spoken += 1
        return self.runtime.say[min(self.spoken, len(self.runtime.say) - 1)]

    def truncate(self, length: int) -> None:
        del self.positions[length:]


def mask_of(answer: Answer) -> KeepMask:
    """The mask of an answer that was made here; one from elsewhere has none."""
    assert answer.mask is not None
    return answer.mask


class MockRuntime:
    """Counts what it is asked to do. `before[name]` is called before each encode, prefill or step."""

    image_token_id, video_token_id = IMAGE, VIDEO
    stop_ids = frozenset(CONTROL.values())
    prefill_chunk = 64

    def __init__(self, says: str = "A chest.", context_length: int = 100_000) -> None:
        self.tokenizer = CharTokenizer()
        self.say = [*self.tokenizer.encode(says, add_special_tokens=False), 2]
        self.context_length = context_length
        self.encoder_frames = 0
        self.prefilled = 0
        self.calls: dict[str, int] = {}
        self.masks: list[KeepMask] = []
        self.before: dict[str, Callable[[], None]] = {}
        self.released = 0

    def tick(self, name: str) -> None:
        self.calls[name] = self.calls.get(name, 0) + 1
        if name in self.before:
            self.before[name]()

    def encode(self, patches: Patches) -> Iterator[tuple[int, Any]]:
        t, h, w = patches.token_grid
        for i in range(t):
            self.tick("encode")
            self.encoder_frames += 1
            last = FIRST_ROW + np.arange(t * h * w) if i == t - 1 else None
            yield i + 1, last

    def visual(self, features: Any, mask: KeepMask) -> Any:
        self.masks.append(mask)
        return features[mask.keep.reshape(-1)]

    def rows(self, features: Any) -> NDArray[np.float32]:
        return np.asarray(features, dtype=np.float32).reshape(len(features), 1)

    def pooled(self, features: Any, frames: int) -> NDArray[np.float32]:
        rows = np.asarray(features, dtype=np.float32).reshape(frames, -1)
        return np.stack([rows.mean(1), rows.std(1)], axis=1)

    def nbytes(self, features: Any) -> int:
        return int(features.nbytes)

    def begin(self) -> MockConversation:
        return MockConversation(self)

    def decode(self, ids: list[int]) -> str:
        return "".join(chr(i - 100) for i in ids if i >= 100)

    def is_out_of_memory(self, error: BaseException) -> bool:
        return isinstance(error, MemoryError)

    def release(self) -> None:
        self.released += 1


def assistant(runtime: MockRuntime | None = None, **options: Any) -> LocalAssistant:
    return LocalAssistant(
        runtime or MockRuntime(),
        name="mock",
        description="a mock",
        trust="nothing",
        budget=NANO_BUDGET,
        **options,
    )
