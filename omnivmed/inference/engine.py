"""The engine: one question about one study → a stream of events that ends in an answer.

What is done once and kept (`Store`, bounded by bytes, least recently used first out):

* patches and encoder features of a study, all tokens of it: a later question runs the encoder zero times, also
  when only the threshold changed, because the keep mask is applied to finished features (OmniV-Med §2.2);
* the language model's keys and values of the last conversation per study and mask: a follow-up reads only what
  is new, whether it continues that conversation or asks afresh.

The work happens inside the iterator's own steps. Whoever closes it, or sets the stop flag, ends the computation
within one decode step, one prompt chunk or one group of frames.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack, cast

from omnivmed.background import in_background
from omnivmed.errors import Cancelled, OmniVMedError
from omnivmed.inference.assistant import final
from omnivmed.inference.batch import Batch, BatchRuntime
from omnivmed.inference.desk import Desk
from omnivmed.inference.events import Answer, Done, Event, Failed, MaskReady, Stage, Text
from omnivmed.inference.guided import guided
from omnivmed.inference.making import Making
from omnivmed.inference.options import AskOptions, AskSettings, with_settings
from omnivmed.inference.pieces import Pieces
from omnivmed.inference.prompting import fitting_prompt
from omnivmed.inference.store import Store
from omnivmed.inference.work import (
    Chat,
    Request,
    Taking,
    Work,
    check_request,
    cut_for,
    memory_advice,
    staged,
)
from omnivmed.limits import LOCAL, Limits
from omnivmed.model.prompts import Turn
from omnivmed.pruning import KeepMask
from omnivmed.pruning.ruled import needs_features, ruled_mask
from omnivmed.spoken.familiar import Familiar
from omnivmed.spoken.reply import Knows, unfamiliar
from omnivmed.spoken.withhold import Withhold
from omnivmed.study_info import StudyKind
from omnivmed.vision import Patches, VisionBudget

if TYPE_CHECKING:
    from omnivmed.inference.runtime import Runtime
    from omnivmed.study import Study

CACHE_BYTES = 1 << 30


class LocalAssistant(Making):
    """A model on this machine, as an `Assistant` (`omnivmed.inference.assistant`). Made by `load_model`.

    Attributes:
        name, description: who is speaking. trust: what it may be trusted with, in one sentence.
        answers: what it was trained and tested to answer, per kind of study, in words.
        silent: attributes that it does not beat guessing at, per kind of study: held back (`withhold`).
        budget: how many visual tokens a study may spend.
        follows: whether earlier turns are known to help it.
        artist: who draws with it; None where the drawing weights are not.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        name: str,
        description: str,
        trust: str,
        budget: VisionBudget,
        answers: dict[str, list[str]] | None = None,
        questions: dict[str, list[str]] | None = None,
        silent: dict[str, list[str]] | None = None,
        follows: bool = True,
        knows: Knows | None = None,
        familiar: Familiar | None = None,
        limits: Limits = LOCAL,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.name = name
        self.description = description
        self.trust = trust
        self.budget = budget
        self.answers = answers or {}
        self.questions = questions or {}
        self.silent = silent or {}
        self.follows = follows
        self.knows = knows
        self.familiar = familiar
        self.limits = limits
        self.runtime = runtime
        self.desk = Desk(limits.queue_size, runtime.is_out_of_memory, self._recover)
        self._store = Store(cache_bytes)

    def __repr__(self) -> str:
        return f"<LocalAssistant {self.name}: {self.description}>"

    # ------------------------------------------------------------------------------------------ public

    def stream(
        self,
        study: Study,
        question: str,
        history: Sequence[Turn] = (),
        options: AskOptions | None = None,
        *,
        cancel: threading.Event | None = None,
        **settings: Unpack[AskSettings],
    ) -> Generator[Event, None, None]:
        """As `Assistant.stream`."""
        work, asking = Work(cancel or threading.Event()), with_settings(options, settings)
        try:
            request = check_request(self.limits, study, question, history, asking)
            if self.knows is None or asking.alone:
                yield from self._run(request, work)
            else:
                yield from guided(
                    request, self.knows, lambda words: self._run(replace(request, question=words), work)
                )
        except OmniVMedError as error:
            yield Failed(error)

    def answer(
        self,
        study: Study,
        question: str,
        history: Sequence[Turn] = (),
        options: AskOptions | None = None,
        **settings: Unpack[AskSettings],
    ) -> Answer:
        """As `Assistant.answer`."""
        return final(self.stream(study, question, history, options, **settings))

    def batch(self) -> Batch:
        """The same model for many questions at once; takes no turn in the queue (`omnivmed.inference.batch`)."""
        return Batch(cast(BatchRuntime, self.runtime), self.budget, self.silent)

    def forget(self, study: Study) -> int:
        """Drop all that is kept of this study, under every window; returns the bytes freed."""
        return self._store.forget(study.content_id)

    def seconds_per_token(self) -> float | None:
        """Wall seconds to read one prompt token, from a short prompt; None when somebody is being served."""
        from omnivmed.inference.speed import prefill_seconds

        with self.desk.alone() as ours:
            return prefill_seconds(self.runtime, lambda: len(self.desk) > 1) if ours else None

    @property
    def kept_bytes(self) -> int:
        """Memory held for later questions."""
        return self._store.nbytes()

    @property
    def encoder_frames(self) -> int:
        """Frames encoded since loading."""
        return self.runtime.encoder_frames

    @property
    def waiting(self) -> int:
        """People being served or waiting."""
        return len(self.desk)

    # ------------------------------------------------------------------------------------------ one question

    def _run(self, request: Request, work: Work) -> Generator[Event, None, None]:
        with self.desk.served(work, memory_advice(request.study)):
            patches = yield from self._patches(request, work)
            mask = None
            if not needs_features(request.options.rule):
                mask = yield from self._mask(request, patches, None, work)
                yield MaskReady(mask)
            yield from self.desk.hand_out(work, self._served(request, patches, mask, work))

    def _recover(self) -> None:
        self._store.clear()
        self.runtime.release()

    # ------------------------------------------------------------------------------------------ before the model

    def _patches(self, request: Request, work: Work) -> Generator[Event, None, Patches]:
        key = (*request.study_key, "patches")
        patches: Patches | None = self._store.get(key)
        if patches is not None:
            return patches
        begun, taking = time.perf_counter(), Taking(request.study)
        steps = in_background(lambda report: cut_for(request, self.budget, report, taking), work.cancel)
        patches = yield from staged(steps)
        work.took("read", taking.seconds)
        work.took("patches", time.perf_counter() - begun - taking.seconds)
        yield Stage("patches", patches.grid_thw[0], patches.grid_thw[0])
        self._store.put(key, patches, patches.patches.nbytes)
        return patches

    def _mask(
        self, request: Request, patches: Patches, features: Any, work: Work
    ) -> Generator[Event, None, KeepMask]:
        """features: all tokens of the study for a rule that looks at them, else None."""
        mask: KeepMask | None = self._store.get(request.mask_key)
        if mask is None:
            yield Stage("pruning", 0, 1)
            begun = time.perf_counter()
            asked = request.options
            rows = None if features is None else self.runtime.rows(features)
            mask = ruled_mask(patches, asked.rule, asked.threshold, asked.reference, asked.match, rows)
            work.add("prune", begun)
            self._store.put(request.mask_key, mask, mask.keep.nbytes + mask.distance.nbytes)
            yield Stage("pruning", 1, 1)
        work.usage = replace(work.usage, visual_tokens_before=mask.total, visual_tokens_after=mask.kept)
        return mask

    # ------------------------------------------------------------------------------------------ with the model

    def _served(
        self, request: Request, patches: Patches, mask: KeepMask | None, work: Work
    ) -> Generator[Event, None, None]:
        """mask: None for a rule that looks at features, which are made in the turn at the model."""
        try:
            yield from self.desk.wait(work)
            if mask is None:
                features = yield from self._features(request, patches, work)
                mask = yield from self._mask(request, patches, features, work)
                yield MaskReady(mask)
            if (yield from self._strange(request, patches, work)):
                yield from (Text(work.text), Done(self._answer(request, patches, mask, work), work.stopped))
                return
            ids, room = fitting_prompt(self.runtime, request, mask, patches, work)
            chat_key = (*request.mask_key, "chat")
            chat: Chat = self._store.pop(chat_key) or Chat(self.runtime.begin())
            try:
                work.usage = replace(work.usage, cached_tokens=chat.keep_common(ids))
                visual = yield from self._visual(request, patches, mask, ids[len(chat.ids) :], work)
                most = min(request.options.max_new_tokens, room)
                yield from self._decode(request, patches.kind, chat, ids, visual, most, work)
            finally:
                if chat.sound:
                    self._store.put(chat_key, chat, chat.conversation.nbytes)
        except Cancelled:
            work.stopped = "cancelled"
        yield Done(self._answer(request, patches, mask, work), work.stopped)

    def _answer(self, request: Request, patches: Patches, mask: KeepMask | None, work: Work) -> Answer:
        work.took("total", work.since_start())
        return Answer(
            text=work.text.strip(),
            usage=work.usage,
            timings_s=work.timings,
            mask=mask,
            model=self.name,
            threshold=request.options.threshold,
            reference=request.options.reference,
            window=patches.window,
            stopped=work.stopped,
            notes=tuple(work.notes),
            source=work.source,
            offers=work.offers,
            certainty=work.certainty,
            doubt=work.doubt,
        )

    def _strange(self, request: Request, patches: Patches, work: Work) -> Generator[Event, None, bool]:
        """Whether these pictures are unlike all that the model was trained on; then the refusal is `work.text`."""
        told = request.study.modality is not None  # the file says that it is a CT, say: no cat
        if told or self.familiar is None or self.knows is None or request.options.alone:
            return False
        known: bool | None = self._store.get((*request.study_key, "familiar"))
        if known is None:
            features = yield from self._features(request, patches, work)
            known = self.familiar.knows(self.runtime.pooled(features, patches.grid_thw[0]), patches.kind)
            self._store.put((*request.study_key, "familiar"), known, 1)
        if not known:
            said = unfamiliar(request.study, self.knows, self.familiar.words)
            work.text, work.source, work.offers = said.text, said.source, said.offers
        return not known

    def _visual(
        self, request: Request, patches: Patches, mask: KeepMask, rest: Sequence[int], work: Work
    ) -> Generator[Event, None, Any]:
        """Kept visual tokens for the placeholders in `rest`; None when the language model has them all already."""
        missing = sum(i in (self.runtime.image_token_id, self.runtime.video_token_id) for i in rest)
        if not missing:
            return None
        features = yield from self._features(request, patches, work)
        kept = self.runtime.visual(features, mask)
        return kept[mask.kept - missing :]

    def _features(self, request: Request, patches: Patches, work: Work) -> Generator[Event, None, Any]:
        """Encoder features of all tokens of the study, made once."""
        key = (*request.study_key, "features")
        features = self._store.get(key)
        if features is None:
            begun, frames = time.perf_counter(), patches.grid_thw[0]
            before = self.runtime.encoder_frames
            yield Stage("encoding", 0, frames)
            for done, part in self.runtime.encode(patches):
                features = part
                yield Stage("encoding", done, frames)
                work.check()
            work.add("encode", begun)
            work.usage = replace(work.usage, encoder_frames=self.runtime.encoder_frames - before)
            self._store.put(key, features, self.runtime.nbytes(features))
        return features

    def _decode(
        self,
        request: Request,
        kind: StudyKind,
        chat: Chat,
        ids: list[int],
        visual: Any,
        most: int,
        work: Work,
    ) -> Generator[Event, None, None]:
        """Read the rest of the prompt, then answer greedily; `chat` follows position by position."""
        runtime, begun = self.runtime, time.perf_counter()
        token, used = -1, 0
        while len(chat.ids) < len(ids):
            yield Stage("reading the study", len(chat.ids), len(ids))
            work.check()
            chunk = ids[len(chat.ids) : len(chat.ids) + runtime.prefill_chunk]
            rows = sum(i in (runtime.image_token_id, runtime.video_token_id) for i in chunk)
            token = chat.prefill(chunk, visual[used : used + rows] if rows else None)
            used += rows
        work.certainty = chat.conversation.certainty
        work.add("prefill", begun)
        work.took("first_token", work.since_start())
        yield Stage("reading the study", len(ids), len(ids))
        yield Stage("answering", 0, most)

        begun, pieces = time.perf_counter(), Pieces(runtime.decode)
        holder = self._withhold(request, kind)
        work.stopped, said = "length", 0
        for n in range(most):
            if token in runtime.stop_ids:
                work.stopped = "end"
                break
            said = n + 1
            if request.options.alone:
                work.doubt = min(
                    chat.conversation.certainty or 0.0, 1.0 if work.doubt is None else work.doubt
                )
            yield from self._say(pieces.push(token), holder, work)
            if work.cancel.is_set():
                work.stopped = "cancelled"
                break
            if n + 1 < most:
                token = chat.step(token)
        yield from self._say(pieces.flush(), holder, work)
        if holder is not None:
            yield from self._say(holder.flush(), None, work)
            if holder.note:
                work.notes.append(holder.note)
        work.usage = replace(work.usage, output_tokens=said)
        work.add("decode", begun)

    def _withhold(self, request: Request, kind: StudyKind) -> Withhold | None:
        """What holds back the attributes that this model may not state of this kind of study; None: nothing to."""
        if not (silent := self.silent.get(kind)):
            return None
        before = request.history[-1][0] if request.history else ""
        return Withhold(silent, kind, request.question, before)

    def _say(self, piece: str, holder: Withhold | None, work: Work) -> Iterator[Text]:
        if holder is not None:
            piece = holder.push(piece)
        if piece:
            work.text += piece
            yield Text(piece)
