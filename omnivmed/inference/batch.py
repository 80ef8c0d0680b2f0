"""Many questions about many studies at once, by the same steps as the engine: sampling, window, budget, mask, prompt.

For evaluation, judges and candidate answers, where nobody waits for the first word. Each answer is what
`Assistant.answer` would say (up to ties of rounding in bfloat16); several questions about a study read it once. A batch
takes no turn in the queue of the assistant: do not run one beside a page that is in use.

    batch = assistant.batch()
    read = batch.read(study)
    batch.answers([(read, ["Plane?", ("And the organ?", [("Plane?", "It is axial.")])])])
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from omnivmed.defaults import DEFAULT_THRESHOLD, Reference
from omnivmed.errors import ModelError
from omnivmed.inference.pieces import Pieces
from omnivmed.inference.runtime import Runtime
from omnivmed.model.prompts import Kind, Turn, build_prompt
from omnivmed.pruning import KeepMask, keep_mask
from omnivmed.spoken.withhold import withheld
from omnivmed.vision import Patches, VisionBudget, prepare

if TYPE_CHECKING:
    from omnivmed.study import Study

NEW_TOKENS = 128
Question = str | tuple[str, Sequence[Turn]]
"""What is asked, alone or with earlier (question, answer) turns about the same study."""


class BatchRuntime(Runtime, Protocol):
    """A runtime that can let many answers grow side by side."""

    def many(
        self, prompts: Sequence[Sequence[list[int]]], visual: Sequence[Any], most: int
    ) -> list[list[list[int]]]:
        """Ids said to every prompt of every study, control tokens left out, at most ``most`` of each.

        prompts: per study its whole prompts, alike up to the last placeholder. visual: as from `Runtime.visual`, None
        for prompts without a study.
        """


@dataclass(frozen=True, eq=False)
class Read:
    """A study as the language model gets it. visual: kept rows (K, width), in the runtime's own type."""

    kind: Kind
    tokens_per_frame: tuple[int, ...]
    times_s: tuple[float, ...] | None
    visual: Any
    mask: KeepMask


class Batch:
    """The model of one assistant, asked in batches. One thread at a time."""

    def __init__(
        self, runtime: BatchRuntime, budget: VisionBudget, silent: dict[str, list[str]] | None = None
    ) -> None:
        self.runtime, self.budget, self.silent = runtime, budget, silent or {}

    def read(
        self,
        study: Study,
        threshold: float = DEFAULT_THRESHOLD,
        reference: Reference = "previous",
        max_frames: int | None = None,
    ) -> Read:
        """Sample, window, resize, prune and encode a study, all as the engine does.

        threshold: 0..2 on pixels in [-1, 1]. max_frames: slices or frames taken; None = the model's own.
        """
        return self.see(prepare(study, self.budget, max_frames=max_frames), threshold, reference)

    def see(self, patches: Patches, threshold: float, reference: Reference = "previous") -> Read:
        """Prune and encode patches that are there already."""
        return self.masked(patches, keep_mask(patches, threshold, reference))

    def masked(self, patches: Patches, mask: KeepMask) -> Read:
        """Encode under a given mask."""
        features: Any = None
        for _, part in self.runtime.encode(patches):
            features = part
        times = None if patches.times_s is None else tuple(float(t) for t in patches.times_s)
        counts = tuple(int(n) for n in mask.kept_per_frame)
        return Read(patches.kind, counts, times, self.runtime.visual(features, mask), mask)

    def answers(
        self,
        cases: Sequence[tuple[Read | None, Sequence[Question]]],
        max_new_tokens: int = NEW_TOKENS,
        hold_back: bool = True,
    ) -> list[list[str]]:
        """What is said to every question about every study; None in place of a study: the words alone.

        hold_back: put "I cannot tell ..." in place of what the model's card holds back, as `Assistant.answer` does;
        False gives the model's own words, for measuring what to hold back.

        Raises ModelError ("TooLong") when study, question and answer do not fit the model.
        """
        asked = [[(q, ()) if isinstance(q, str) else q for q in questions] for _, questions in cases]
        prompts = [
            [self._prompt(read, *one, max_new_tokens) for one in questions]
            for (read, _), questions in zip(cases, asked, strict=True)
        ]
        visual = [None if read is None else read.visual for read, _ in cases]
        said = self.runtime.many(prompts, visual, max_new_tokens)
        out = []
        for (read, _), questions, rows in zip(cases, asked, said, strict=True):
            texts = [self._text(ids) for ids in rows]
            if hold_back and read is not None:
                silent: Collection[str] = self.silent.get(read.kind, ())
                texts = [
                    withheld(list(silent), read.kind, question, text, history[-1][0] if history else "")[0]
                    for (question, history), text in zip(questions, texts, strict=True)
                ]
            out.append(texts)
        return out

    def _text(self, ids: Sequence[int]) -> str:
        """As the engine puts it together, piece by piece."""
        pieces = Pieces(self.runtime.decode)
        return ("".join([pieces.push(i) for i in ids]) + pieces.flush()).strip()

    def _prompt(self, read: Read | None, question: str, history: Sequence[Turn], most: int) -> list[int]:
        runtime = self.runtime
        ids = build_prompt(
            runtime.tokenizer,
            question,
            "image" if read is None else read.kind,
            () if read is None else read.tokens_per_frame,
            None if read is None else read.times_s,
            history,
            runtime.image_token_id,
            runtime.video_token_id,
        )
        if len(ids) + most > runtime.context_length:
            raise ModelError(
                "TooLong",
                f"Study, question and answer take {len(ids) + most:,} tokens, and this model holds "
                f"{runtime.context_length:,}. Take fewer frames or raise the pruning threshold.",
            )
        return ids
