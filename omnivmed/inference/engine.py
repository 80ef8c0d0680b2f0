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
from typing import TYPE_CHECKING, Any, cast

from omnivmed.defaults import DEFAULT_NEW_TOKENS, DEFAULT_REFERENCE, DEFAULT_THRESHOLD
from omnivmed.errors import ModelError, StudyError
from omnivmed.inference.background import Cancelled, in_background
from omnivmed.inference.batch import Batch, BatchRuntime
from omnivmed.inference.events import Answer, Done, Event, Failed, MaskReady, Stage, Text
from omnivmed.inference.pieces import Pieces
from omnivmed.inference.prompts import Turn, build_prompt
from omnivmed.inference.store import Store
from omnivmed.inference.turns import LostTurn, Ticket, Turns
from omnivmed.inference.withhold import Withhold
from omnivmed.inference.work import Busy, Chat, Request, TimedStudy, Work, check_request
from omnivmed.limits import LOCAL, Limits
from omnivmed.pruning import KeepMask, keep_mask
from omnivmed.vision import Patches, VisionBudget, prepare

if TYPE_CHECKING:
    from omnivmed.inference.runtime import Runtime
    from omnivmed.study import Study

CACHE_BYTES = 1 << 30
#: Room that an answer must at least have after the prompt, in tokens.
LEAST_ROOM = 16
WAIT_TICK_S = 0.5
#: A waiting listener hears of its place at least this often, so that one who left is noticed.
WAIT_TELL_S = 2.0


class Assistant:
    """A loaded model that answers questions about studies. Made by `load_model`; safe to share by many users.

    Attributes:
        name, description: who is speaking. trust: what it may be trusted with, in one sentence.
        answers: what it was trained and tested to answer, per kind of study, in words.
        silent: attributes that it does not beat guessing at, per kind of study: held back (`withhold`).
        budget: how many visual tokens a study may spend.
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
        self.limits = limits
        self._runtime = runtime
        self._store = Store(cache_bytes)
        self._turns = Turns(limits.queue_size)

    def __repr__(self) -> str:
        return f"<Assistant {self.name}: {self.description}>"

    # ------------------------------------------------------------------------------------------ public

    def stream(
        self,
        study: Study,
        question: str,
        history: Sequence[Turn] = (),
        threshold: float = DEFAULT_THRESHOLD,
        reference: str = DEFAULT_REFERENCE,
        max_new_tokens: int = DEFAULT_NEW_TOKENS,
        max_frames: int | None = None,
        cancel: threading.Event | None = None,
    ) -> Iterator[Event]:
        """Answer as a stream of events (see `events`); closing the iterator stops the work.

        history: earlier (question, answer) pairs on the same study, oldest first; bounded by the limits.
        threshold: 0..2 on pixels in [-1, 1]. max_frames: slices or frames taken; None = the model's own.
        cancel: an event that, once set, ends the answer with `stopped="cancelled"`.

        Every error a person can do something about comes as a last `Failed` event: the codes of `StudyError`
        and `ModelError`, "Busy" (queue full or turn lost) and "Cancelled" (stopped before a mask was there).
        """
        try:
            yield from self._run(
                study, question, history, threshold, reference, max_new_tokens, max_frames, cancel
            )
        except (StudyError, ModelError) as error:
            yield Failed(error.code, error.message)
        except Busy as error:
            yield Failed("Busy", str(error))
        except LostTurn:
            yield Failed("Busy", "Nobody listened to this answer for a while, so the next person was served.")
        except Cancelled:
            yield Failed("Cancelled", "Stopped before the answer began.")

    def answer(
        self,
        study: Study,
        question: str,
        history: Sequence[Turn] = (),
        threshold: float = DEFAULT_THRESHOLD,
        reference: str = DEFAULT_REFERENCE,
        max_new_tokens: int = DEFAULT_NEW_TOKENS,
        max_frames: int | None = None,
    ) -> Answer:
        """The whole answer at once. Raises StudyError, ModelError, or Busy when too many are waiting."""
        for event in self._run(
            study, question, history, threshold, reference, max_new_tokens, max_frames, None
        ):
            if isinstance(event, Done):
                return event.answer
        raise AssertionError("an answer ended without its last event")

    def batch(self) -> Batch:
        """The same model for many questions at once; takes no turn in the queue (`omnivmed.inference.batch`)."""
        return Batch(cast(BatchRuntime, self._runtime), self.budget, self.silent)

    def forget(self, study: Study) -> int:
        """Drop all that is kept of this study, under every window; returns the bytes freed."""
        return self._store.forget(study.content_id)

    @property
    def kept_bytes(self) -> int:
        """Memory held for later questions."""
        return self._store.nbytes()

    @property
    def encoder_frames(self) -> int:
        """Frames encoded since loading."""
        return self._runtime.encoder_frames

    @property
    def waiting(self) -> int:
        """People being served or waiting."""
        return len(self._turns)

    # ------------------------------------------------------------------------------------------ one question

    def _run(
        self,
        study: Study,
        question: str,
        history: Sequence[Turn],
        threshold: float,
        reference: str,
        max_new_tokens: int,
        max_frames: int | None,
        cancel: threading.Event | None,
    ) -> Generator[Event, None, None]:
        request = check_request(
            self.limits, study, question, history, threshold, reference, max_new_tokens, max_frames, cancel
        )
        if len(self._turns) > self._turns.size:
            raise Busy(len(self._turns))
        work = Work()
        patches = yield from self._patches(request, work)
        mask = yield from self._mask(request, patches, work)
        yield MaskReady(mask)
        ticket = self._turns.join()
        if ticket is None:
            raise Busy(len(self._turns))
        inner = self._served(request, patches, mask, work, ticket)
        try:
            for event in inner:
                self._turns.idle(ticket)
                yield event
                self._turns.busy(ticket)
        except Exception as error:
            if not self._runtime.is_out_of_memory(error):
                raise
            self._store.clear()
            self._runtime.release()
            raise ModelError("OutOfMemory", self._memory_advice(request)) from None
        finally:
            inner.close()
            self._turns.leave(ticket)

    def _memory_advice(self, request: Request) -> str:
        if request.study.kind == "image":
            return (
                "The memory was not enough for this picture. Close other studies or programs and ask again."
            )
        return "The memory was not enough for this study. Take fewer frames or raise the pruning threshold."

    # ------------------------------------------------------------------------------------------ before the model

    def _patches(self, request: Request, work: Work) -> Generator[Event, None, Patches]:
        key = (*request.study_key, "patches")
        patches: Patches | None = self._store.get(key)
        if patches is not None:
            return patches
        begun = time.perf_counter()
        study = TimedStudy(request.study)
        steps = in_background(
            lambda report: prepare(study, self.budget, max_frames=request.max_frames, progress=report),  # type: ignore[arg-type]
            request.cancel,
        )
        patches = yield from _staged(steps, "reading")
        work.timings_s["read"] = study.seconds
        work.timings_s["patches"] = time.perf_counter() - begun - study.seconds
        yield Stage("patches", patches.grid_thw[0], patches.grid_thw[0])
        self._store.put(key, patches, patches.patches.nbytes)
        return patches

    def _mask(self, request: Request, patches: Patches, work: Work) -> Generator[Event, None, KeepMask]:
        mask: KeepMask | None = self._store.get(request.mask_key)
        if mask is None:
            yield Stage("pruning", 0, 1)
            begun = time.perf_counter()
            mask = keep_mask(patches, request.threshold, request.reference)
            work.add("prune", begun)
            self._store.put(request.mask_key, mask, mask.keep.nbytes + mask.distance.nbytes)
            yield Stage("pruning", 1, 1)
        work.usage["visual_tokens_before"] = mask.total
        work.usage["visual_tokens_after"] = mask.kept
        return mask

    # ------------------------------------------------------------------------------------------ with the model

    def _served(
        self, request: Request, patches: Patches, mask: KeepMask, work: Work, ticket: Ticket
    ) -> Generator[Event, None, None]:
        try:
            yield from self._wait(request, work, ticket)
            ids, room = self._prompt(request, mask, patches, work)
            chat_key = (*request.mask_key, "chat")
            chat: Chat = self._store.pop(chat_key) or Chat(self._runtime.begin())
            try:
                work.usage["cached_tokens"] = chat.keep_common(ids)
                visual = yield from self._visual(request, patches, mask, ids[len(chat.ids) :], work)
                yield from self._decode(request, chat, ids, visual, min(request.max_new_tokens, room), work)
            finally:
                if chat.sound:
                    self._store.put(chat_key, chat, chat.conversation.nbytes)
        except Cancelled:
            work.stopped = "cancelled"
        work.timings_s["total"] = work.since_start()
        answer = Answer(
            text=work.text.strip(),
            usage=work.usage,
            timings_s=work.timings_s,
            mask=mask,
            model=self.name,
            threshold=request.threshold,
            reference=request.reference,
            window=patches.window,
            stopped=work.stopped,
            notes=tuple(work.notes),
        )
        yield Done(answer, work.stopped)

    def _wait(self, request: Request, work: Work, ticket: Ticket) -> Generator[Event, None, None]:
        begun = time.perf_counter()
        told, told_at = (0, 0), begun
        while True:
            if request.cancel.is_set():
                raise Cancelled
            place, now = self._turns.place(ticket), time.perf_counter()
            if place[0] > 0 and (place != told or now - told_at >= WAIT_TELL_S):
                told, told_at = place, now
                yield Stage("waiting", *place)
            if self._turns.wait(ticket, WAIT_TICK_S):
                break
        work.add("wait", begun)

    def _prompt(
        self, request: Request, mask: KeepMask, patches: Patches, work: Work
    ) -> tuple[list[int], int]:
        """(prompt ids, room left for the answer); leaves out the oldest turns when all do not fit."""
        runtime = self._runtime
        history = list(request.history)
        while True:
            ids = build_prompt(
                runtime.tokenizer,
                request.question,
                patches.kind,
                mask.kept_per_frame.tolist(),
                None if patches.times_s is None else patches.times_s.tolist(),
                history,
                runtime.image_token_id,
                runtime.video_token_id,
            )
            room = runtime.context_length - len(ids)
            if room >= min(LEAST_ROOM, request.max_new_tokens):
                break
            if not history:
                raise ModelError(
                    "TooLong",
                    f"Study and question take {len(ids):,} tokens, and this model holds {runtime.context_length:,}. "
                    "Take fewer frames or raise the pruning threshold.",
                )
            history.pop(0)
        if dropped := len(request.history) - len(history):
            work.notes.append(f"The {dropped} oldest question(s) were left out: this model holds no more.")
        work.usage["prompt_tokens"] = len(ids)
        return ids, room

    def _visual(
        self, request: Request, patches: Patches, mask: KeepMask, rest: Sequence[int], work: Work
    ) -> Generator[Event, None, Any]:
        """Kept visual tokens for the placeholders in `rest`; None when the language model has them all already."""
        missing = sum(i in (self._runtime.image_token_id, self._runtime.video_token_id) for i in rest)
        if not missing:
            return None
        key = (*request.study_key, "features")
        features = self._store.get(key)
        if features is None:
            begun, frames = time.perf_counter(), patches.grid_thw[0]
            before = self._runtime.encoder_frames
            yield Stage("encoding", 0, frames)
            for done, part in self._runtime.encode(patches):
                features = part
                yield Stage("encoding", done, frames)
                if request.cancel.is_set():
                    raise Cancelled
            work.add("encode", begun)
            work.usage["encoder_frames"] = self._runtime.encoder_frames - before
            self._store.put(key, features, self._runtime.nbytes(features))
        kept = self._runtime.visual(features, mask)
        return kept[mask.kept - missing :]

    def _decode(
        self, request: Request, chat: Chat, ids: list[int], visual: Any, most: int, work: Work
    ) -> Generator[Event, None, None]:
        """Read the rest of the prompt, then answer greedily; `chat` follows position by position."""
        runtime, begun = self._runtime, time.perf_counter()
        token, used = -1, 0
        while len(chat.ids) < len(ids):
            yield Stage("reading the study", len(chat.ids), len(ids))
            if request.cancel.is_set():
                raise Cancelled
            chunk = ids[len(chat.ids) : len(chat.ids) + runtime.prefill_chunk]
            rows = sum(i in (runtime.image_token_id, runtime.video_token_id) for i in chunk)
            token = chat.prefill(chunk, visual[used : used + rows] if rows else None)
            used += rows
        work.add("prefill", begun)
        work.timings_s["first_token"] = work.since_start()
        yield Stage("reading the study", len(ids), len(ids))
        yield Stage("answering", 0, most)

        begun, pieces = time.perf_counter(), Pieces(runtime.decode)
        gate = self._gate(request)
        work.stopped = "length"
        for n in range(most):
            if token in runtime.stop_ids:
                work.stopped = "end"
                break
            work.usage["output_tokens"] = n + 1
            yield from self._say(pieces.push(token), gate, work)
            if request.cancel.is_set():
                work.stopped = "cancelled"
                break
            if n + 1 < most:
                token = chat.step(token)
        yield from self._say(pieces.flush(), gate, work)
        if gate is not None:
            yield from self._say(gate.flush(), None, work)
            if gate.note:
                work.notes.append(gate.note)
        work.add("decode", begun)

    def _gate(self, request: Request) -> Withhold | None:
        """What holds back the attributes that this model may not state of this kind of study; None: nothing to."""
        kind = request.study.kind
        if not (silent := self.silent.get(kind)):
            return None
        before = request.history[-1][0] if request.history else ""
        return Withhold(silent, kind, request.question, before)

    def _say(self, piece: str, gate: Withhold | None, work: Work) -> Iterator[Text]:
        if gate is not None:
            piece = gate.push(piece)
        if piece:
            work.text += piece
            yield Text(piece)


def _staged(steps: Generator[tuple[int, int], None, Patches], name: Any) -> Generator[Event, None, Patches]:
    """Progress of a background task as stages; its result is returned."""
    try:
        while True:
            done, total = next(steps)
            yield Stage(name, done, total)
    except StopIteration as finished:
        result: Patches = finished.value
        return result
    finally:
        steps.close()
