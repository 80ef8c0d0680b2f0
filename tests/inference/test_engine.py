"""The engine by its behaviour: order of events, what is done once, what stops, who is served."""

from __future__ import annotations

import dataclasses
import gc
import threading
from typing import Any

import numpy as np
import pytest

from omnivmed.errors import Busy, ModelError, QuestionError
from omnivmed.inference import Answer, Done, Failed, MaskReady, Stage, Text
from omnivmed.limits import LOCAL
from omnivmed.study import Study
from tests.inference.mock import FIRST_ROW, IMAGE, VIDEO, MockConversation, MockRuntime, assistant, mask_of
from tests.phantoms import clip_study, ct_study, radiograph


def picture() -> Study:
    return Study.from_array(radiograph(), modality="CR")


def finish(events: list[Any]) -> Answer:
    assert isinstance(events[-1], Done), events[-1]
    return events[-1].answer


def test_events_come_in_order_and_end_in_one_answer() -> None:
    runtime = MockRuntime("Two words.")
    events = list(assistant(runtime).stream(clip_study(), "What is this?"))
    kinds = [type(event) for event in events]
    assert kinds.count(MaskReady) == kinds.count(Done) == 1
    mask_at, first_text = kinds.index(MaskReady), kinds.index(Text)
    names = [event.name for event in events if isinstance(event, Stage)]
    assert list(dict.fromkeys(names)) == [
        "reading",
        "patches",
        "pruning",
        "encoding",
        "reading the study",
        "answering",
    ]
    before = {e.name for e in events[:mask_at] if isinstance(e, Stage)}
    assert before == {"reading", "patches", "pruning"}
    assert all(not isinstance(event, Stage) for event in events[first_text:])
    answer = finish(events)
    assert answer.text == "Two words." == "".join(e.piece for e in events if isinstance(e, Text))
    assert answer.stopped == "end"
    assert answer.usage["output_tokens"] == len("Two words.")
    assert answer.usage["encoder_frames"] == len(mask_of(answer).frame_index)
    assert answer.usage["visual_tokens_after"] == mask_of(answer).kept < answer.usage["visual_tokens_before"]
    for stage in (e for e in events if isinstance(e, Stage)):
        assert 0 <= stage.done <= stage.total


def test_one_mask_object_goes_to_the_listener_the_model_and_the_answer() -> None:
    runtime = MockRuntime()
    events = list(assistant(runtime).stream(ct_study(), "What?"))
    handed_out = next(event.mask for event in events if isinstance(event, MaskReady))
    assert runtime.masks[0] is handed_out
    assert mask_of(finish(events)) is handed_out


def test_the_model_sees_exactly_the_kept_tokens_in_order() -> None:
    runtime = MockRuntime()
    conversations: list[MockConversation] = []
    begin = runtime.begin

    def noted() -> MockConversation:
        conversations.append(begin())
        return conversations[-1]

    runtime.begin = noted  # type: ignore[method-assign]
    answer = assistant(runtime).answer(ct_study(), "What?")
    visual = [p - FIRST_ROW for p in conversations[0].positions if p >= FIRST_ROW]
    assert visual == np.flatnonzero(mask_of(answer).keep.reshape(-1)).tolist()
    assert len(visual) == answer.usage["visual_tokens_after"]


@pytest.mark.parametrize(
    "again", [{}, {"threshold": 0.3}, {"reference": "last_kept"}, {"history": [("A", "B")]}]
)
def test_second_question_runs_the_encoder_zero_times(again: dict[str, Any]) -> None:
    runtime = MockRuntime()
    model, study = assistant(runtime), ct_study()
    model.answer(study, "First?")
    frames = runtime.encoder_frames
    second = model.answer(study, "Second?", **again)
    assert runtime.encoder_frames == frames > 0
    assert second.usage["encoder_frames"] == 0


def test_another_reference_is_another_mask() -> None:
    """A picture that slowly brightens: under `previous` every rise counts alone, under `last_kept` they add up."""
    ramp = np.linspace(0, 64, 25).astype(np.uint8)
    frames = np.broadcast_to(ramp[:, None, None, None], (25, 112, 112, 3)).copy()
    study = Study.from_array(frames, times_s=np.arange(25) / 25)
    model, threshold = assistant(MockRuntime()), 0.1
    previous = model.answer(study, "What?", threshold=threshold)
    last_kept = model.answer(study, "What?", threshold=threshold, reference="last_kept")
    assert (mask_of(previous).reference, mask_of(last_kept).reference) == ("previous", "last_kept")
    assert mask_of(last_kept).kept > mask_of(previous).kept
    assert last_kept.usage["visual_tokens_after"] == mask_of(last_kept).kept
    assert mask_of(model.answer(study, "What?", threshold=threshold)) is mask_of(previous)


def test_the_same_question_twice_reads_its_last_position_again() -> None:
    """The next word follows from a position that is computed, so at least one is, and the words are the same."""
    runtime = MockRuntime("Yes.")
    model, study = assistant(runtime), ct_study()
    first = model.answer(study, "What?")
    runtime.prefilled = 0
    second = model.answer(study, "What?")
    assert second.text == first.text == "Yes."
    assert second.usage["cached_tokens"] == first.usage["prompt_tokens"] - 1
    assert runtime.prefilled == 1


def test_another_window_is_another_picture() -> None:
    runtime = MockRuntime()
    model, study = assistant(runtime), ct_study()
    model.answer(study, "First?")
    assert model.answer(study.with_window((-600, 1500)), "First?").usage["encoder_frames"] > 0


def test_follow_up_reads_only_what_is_new() -> None:
    runtime = MockRuntime("Yes.")
    model, study = assistant(runtime), ct_study()
    first = model.answer(study, "First?")
    runtime.prefilled = 0
    second = model.answer(study, "Second?", history=[("First?", first.text)])
    assert second.usage["cached_tokens"] >= first.usage["prompt_tokens"]
    assert runtime.prefilled == second.usage["prompt_tokens"] - second.usage["cached_tokens"] < 80
    assert mask_of(second) is mask_of(first)


def test_fresh_question_reuses_the_study_alone() -> None:
    runtime = MockRuntime()
    model, study = assistant(runtime), ct_study()
    model.answer(study, "First?")
    calls = len(runtime.masks)
    second = model.answer(study, "Second?")
    assert second.usage["cached_tokens"] > second.usage["visual_tokens_after"]
    assert len(runtime.masks) == calls, "no visual token had to be placed again"


def test_conversation_positions_match_a_fresh_one() -> None:
    """After follow-ups, cancels and other questions the cache equals that of a model asked for the first time."""

    def last_positions(model: Any) -> list[int]:
        (chat,) = [i.value for k, i in model._store._items.items() if k[-1] == "chat"]
        assert len(chat.ids) == chat.conversation.length
        positions: list[int] = chat.conversation.positions
        return positions

    study = ct_study()
    used, fresh = assistant(MockRuntime("Yes.")), assistant(MockRuntime("Yes."))
    used.answer(study, "One?")
    used.answer(study, "Two?", history=[("One?", "Yes.")])
    stopped = used.stream(study, "Three?")
    next(e for e in stopped if isinstance(e, Text))
    stopped.close()
    used.answer(study, "Four?")
    fresh.answer(study, "Four?")
    assert last_positions(used) == last_positions(fresh)


def test_forget_drops_every_window_of_the_study() -> None:
    runtime = MockRuntime()
    model, study, other = assistant(runtime), ct_study(), picture()
    model.answer(other, "What?")
    kept = model.kept_bytes
    model.answer(study, "What?")
    model.answer(study.with_window((0, 80)), "What?")
    assert model.forget(study) > 0
    assert model.kept_bytes == kept
    assert model.answer(study, "What?").usage["encoder_frames"] > 0
    assert model.answer(other, "What?").usage["encoder_frames"] == 0


def test_memory_kept_is_bounded_and_oldest_goes_first() -> None:
    runtime = MockRuntime()
    probe = assistant(MockRuntime())
    probe.answer(ct_study(), "What?")
    model = assistant(runtime, cache_bytes=int(probe.kept_bytes * 1.5))
    studies = [ct_study(slices=12 + i) for i in range(4)]
    for study in studies:
        model.answer(study, "What?")
        assert model.kept_bytes <= probe.kept_bytes * 1.5
    assert model.answer(studies[-1], "Again?").usage["encoder_frames"] == 0
    assert model.answer(studies[0], "Again?").usage["encoder_frames"] > 0


def test_closing_the_iterator_stops_at_once() -> None:
    runtime = MockRuntime("x" * 500)
    events = assistant(runtime).stream(picture(), "What?", max_new_tokens=400)
    for event in events:
        if isinstance(event, Text):
            break
    steps = runtime.calls.get("step", 0)
    events.close()
    assert runtime.calls.get("step", 0) == steps
    assert len(runtime.calls) == 2 + bool(steps)


def test_stop_flag_ends_within_two_steps_and_keeps_the_answer() -> None:
    runtime, stop = MockRuntime("x" * 500), threading.Event()
    at_stop = 0
    got = ""
    for event in assistant(runtime).stream(picture(), "What?", max_new_tokens=400, cancel=stop):
        if isinstance(event, Text):
            got += event.piece
            if len(got) == 5:
                stop.set()
                at_stop = runtime.calls["step"]
        last = event
    assert isinstance(last, Done)
    assert last.stopped == "cancelled" == last.answer.stopped
    assert last.answer.text == got
    assert runtime.calls["step"] - at_stop <= 2


@pytest.mark.parametrize("stage", ["encode", "prefill"])
def test_stop_flag_ends_encoding_and_reading(stage: str) -> None:
    runtime, stop = MockRuntime(), threading.Event()
    runtime.prefill_chunk = 8
    runtime.before[stage] = lambda: stop.set() if runtime.calls[stage] == 3 else None
    model = assistant(runtime)
    events = list(model.stream(ct_study(), "What?", cancel=stop))
    assert finish(events).stopped == "cancelled"
    assert finish(events).text == ""
    assert runtime.calls[stage] <= 4
    runtime.before.clear()
    assert model.answer(ct_study(), "What?").text == "A chest."


def test_stop_before_the_mask_is_told() -> None:
    stop = threading.Event()
    stop.set()
    runtime = MockRuntime()
    events = list(assistant(runtime).stream(ct_study(), "What?", cancel=stop))
    assert isinstance(events[-1], Failed)
    assert events[-1].code == "Cancelled"
    assert not runtime.calls


@pytest.mark.parametrize("study", [ct_study(), clip_study()], ids=["volume", "video"])
def test_threshold_0_and_2(study: Study) -> None:
    model = assistant()
    nothing = model.answer(study, "What?", threshold=0)
    everything = model.answer(study, "What?", threshold=2)
    t, h, w = mask_of(nothing).keep.shape
    identical = mask_of(nothing).distance == 0
    assert nothing.usage["visual_tokens_after"] >= t * h * w - identical.sum()
    assert not (mask_of(nothing).keep & identical)[:, 0, 1:].any()
    assert everything.usage["visual_tokens_after"] == h * w + (t - 1)
    assert nothing.text == everything.text == "A chest."


def test_max_frames_is_honoured_and_bounded() -> None:
    model = assistant()
    assert len(mask_of(model.answer(ct_study(), "What?", max_frames=3)).frame_index) == 3
    assert len(mask_of(model.answer(ct_study(), "What?", max_frames=-5)).frame_index) == 1
    assert len(mask_of(model.answer(ct_study(), "What?", max_frames=10**9)).frame_index) <= LOCAL.max_frames


def test_output_history_and_question_are_bounded() -> None:
    limits = dataclasses.replace(LOCAL, max_new_tokens=20, max_history_turns=2, max_question_chars=50)
    runtime = MockRuntime("x" * 500)
    model = assistant(runtime, limits=limits)
    long = model.answer(picture(), "What?", max_new_tokens=10**9)
    assert long.usage["output_tokens"] == 20
    assert long.stopped == "length"
    assert model.answer(picture(), "What?", max_new_tokens=-7).usage["output_tokens"] == 1
    history = [("q" * 10**6, "a" * 10**6)] * 1000
    assert model.answer(picture(), "What?", history=history).usage["prompt_tokens"] < 1000
    with pytest.raises(ModelError, match="at most 50") as failure:
        model.answer(picture(), "?" * 51)
    assert failure.value.code == "TooLong"


def test_oldest_turns_make_room_and_it_is_said() -> None:
    runtime = MockRuntime(context_length=400)
    answer = assistant(runtime).answer(picture(), "What?", history=[("q" * 90, "a" * 90)] * 4)
    assert answer.usage["prompt_tokens"] + answer.usage["output_tokens"] <= 400
    assert "oldest" in answer.notes[0]


def test_a_study_too_long_for_the_model_says_what_to_do() -> None:
    runtime = MockRuntime(context_length=60)
    events = list(assistant(runtime).stream(ct_study(), "What?", threshold=0))
    assert isinstance(events[-1], Failed)
    assert events[-1].code == "TooLong"
    assert "fewer frames" in events[-1].message
    assert runtime.encoder_frames == 0, "known before the encoder runs"


@pytest.mark.parametrize(
    "wrong",
    [
        {"question": "  "},
        {"threshold": float("nan")},
        {"threshold": -1},
        {"threshold": 3},
        {"reference": "next"},
    ],
)
def test_wrong_settings_are_one_sentence(wrong: dict[str, Any]) -> None:
    (event,) = assistant().stream(picture(), **{"question": "What?", **wrong})
    assert isinstance(event, Failed)
    assert isinstance(event.error, QuestionError)
    assert event.code == ("Unsupported" if "question" not in wrong else "NoQuestion")
    assert event.message.endswith((".", "!"))


@pytest.mark.parametrize("stage", ["encode", "prefill", "step"])
def test_out_of_memory_is_answered_with_advice_and_survived(stage: str) -> None:
    runtime = MockRuntime()

    def burst() -> None:
        raise MemoryError

    runtime.before[stage] = burst
    model = assistant(runtime)
    events = list(model.stream(ct_study(), "What?"))
    assert isinstance(events[-1], Failed)
    assert events[-1].code == "OutOfMemory"
    assert "fewer frames" in events[-1].message
    assert runtime.released == 1
    assert model.kept_bytes == 0
    assert model.waiting == 0
    runtime.before.clear()
    assert model.answer(ct_study(), "What?").text == "A chest."


def test_any_other_failure_gives_the_turn_back() -> None:
    runtime = MockRuntime()

    def fail() -> None:
        raise RuntimeError("a bug")

    runtime.before["step"] = fail
    model = assistant(runtime)
    with pytest.raises(RuntimeError, match="a bug"):
        list(model.stream(ct_study(), "What?"))
    runtime.before.clear()
    assert model.waiting == 0
    assert model.answer(ct_study(), "What?").text == "A chest."


def test_several_people_get_their_own_answers_in_order() -> None:
    runtime = MockRuntime("z" * 40)
    model = assistant(runtime)
    inside, most = 0, 0
    lock = threading.Lock()

    def enter() -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        with lock:
            inside -= 1

    runtime.before["step"] = enter
    got: dict[int, list[Any]] = {}

    def ask(i: int) -> None:
        got[i] = list(model.stream(ct_study(slices=8 + i), f"Question {i}?", threshold=0.1 + i / 100))

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert most == 1
    for i in range(8):
        answer = finish(got[i])
        assert answer.text == "z" * 40
        assert answer.threshold == 0.1 + i / 100
        assert mask_of(answer).keep.shape[0] == len(mask_of(answer).frame_index)
    assert model.waiting == 0


def test_waiting_is_told_with_place_and_number() -> None:
    model = assistant(MockRuntime("x" * 50))
    first = model.stream(picture(), "First?")
    next(e for e in first if isinstance(e, Text))
    second = model.stream(ct_study(), "Second?")
    waiting = next(e for e in second if isinstance(e, Stage) and e.name == "waiting")
    assert (waiting.done, waiting.total) == (1, 1)
    first.close()
    assert finish(list(second)).text.startswith("x")


def test_waiting_is_told_again_and_can_be_left(monkeypatch: pytest.MonkeyPatch) -> None:
    from omnivmed.inference import desk

    monkeypatch.setattr(desk, "WAIT_TICK_S", 0.01)
    monkeypatch.setattr(desk, "WAIT_TELL_S", 0.02)
    model = assistant(MockRuntime("x" * 50))
    first = model.stream(picture(), "First?")
    next(e for e in first if isinstance(e, Text))
    second = model.stream(ct_study(), "Second?")
    told = [e for e, _ in zip((e for e in second if isinstance(e, Stage)), range(12), strict=False)]
    assert sum(e.name == "waiting" for e in told) >= 3
    second.close()
    assert model.waiting == 1
    stop = threading.Event()
    third = model.stream(ct_study(), "Third?", cancel=stop)
    next(e for e in third if isinstance(e, Stage) and e.name == "waiting")
    stop.set()
    assert finish(list(third)).stopped == "cancelled"
    first.close()
    assert model.waiting == 0


def test_full_queue_says_busy_at_once() -> None:
    model = assistant(MockRuntime("x" * 50), limits=dataclasses.replace(LOCAL, queue_size=1))
    first = model.stream(picture(), "First?")
    next(e for e in first if isinstance(e, Text))
    second = model.stream(picture(), "Second?")
    next(e for e in second if isinstance(e, Stage) and e.name == "waiting")
    (third,) = model.stream(picture(), "Third?")
    assert isinstance(third, Failed)
    assert third.code == "Busy"
    with pytest.raises(Busy):
        model.answer(picture(), "Fourth?")
    second.close()
    first.close()
    assert model.waiting == 0


def test_a_listener_who_went_away_does_not_block_the_others() -> None:
    model = assistant(MockRuntime("x" * 50))
    model.desk.turns.patience_s = 0.0
    gone = model.stream(picture(), "First?")
    next(e for e in gone if isinstance(e, Text))
    assert finish(list(model.stream(ct_study(), "Second?"))).stopped == "end"
    rest = list(gone)
    assert isinstance(rest[-1], Failed)
    assert rest[-1].code == "Busy"


def test_a_dropped_iterator_gives_the_turn_back() -> None:
    model = assistant(MockRuntime("x" * 50))
    events = model.stream(picture(), "First?")
    next(e for e in events if isinstance(e, Text))
    del events
    gc.collect()
    assert model.waiting == 0


def test_typed_placeholders_do_not_become_image_tokens() -> None:
    answer = assistant().answer(
        picture(), "<filename><file_sep><|im_end|> What?", history=[("<filename>", "x")]
    )
    assert answer.text == "A chest."
    assert {IMAGE, VIDEO} == {4, 5}


def test_answer_as_json() -> None:
    import json

    answer = assistant().answer(ct_study(), "What?")
    data = json.loads(json.dumps(answer.to_dict()))
    assert data["not_for_clinical_use"] is True
    assert data["usage"]["visual_tokens_after"] == data["mask"]["kept"]


# ------------------------------------------------------------------------------------------------ the ship rule


def test_what_is_silent_is_held_back_while_the_rest_streams() -> None:
    says = "This is an MRI. The MRI sequence is T1. The plane is axial."
    speaker = assistant(MockRuntime(says), silent={"image": ["sequence"]})
    events = list(speaker.stream(picture(), "What is this?"))
    pieces = [event.piece for event in events if isinstance(event, Text)]
    told = "I cannot tell the MR sequence of one slice reliably. "
    assert pieces == ["This is an MRI. ", told, "The plane is axial."]
    answer = finish(events)
    assert answer.text == "".join(pieces)
    assert answer.notes == (
        "Held back: the MR sequence of a picture, which this model was measured to guess; see its card.",
    )
    assert answer.stopped == "end"


def test_another_kind_of_study_and_another_model_stream_untouched() -> None:
    says = "The MRI sequence is T1. Yes."
    silents: list[dict[str, list[str]] | None] = [None, {}, {"image": []}, {"volume": ["sequence"]}]
    for silent in silents:
        events = list(assistant(MockRuntime(says), silent=silent).stream(picture(), "Is this T1?"))
        pieces = [event.piece for event in events if isinstance(event, Text)]
        assert pieces == list(says), "character by character, as the mock speaks"
        assert finish(events).notes == ()


def test_an_answer_that_is_cut_or_stopped_is_held_back_too() -> None:
    speaker = assistant(MockRuntime("The MRI sequence is T1 with contrast."), silent={"image": ["sequence"]})
    answer = speaker.answer(picture(), "Sequence?", max_new_tokens=24)
    assert answer.stopped == "length"
    assert answer.text == "I cannot tell the MR sequence of one slice reliably."


def test_a_follow_up_after_something_was_held_back_reads_what_was_said() -> None:
    """The cache holds the tokens of the model; the next prompt differs from there on and is read anew from there."""
    runtimes = MockRuntime("The MRI sequence is T1."), MockRuntime("The MRI sequence is T1.")
    used, fresh = (assistant(runtime, silent={"image": ["sequence"]}) for runtime in runtimes)
    study = picture()
    first = used.answer(study, "Sequence?")
    history = [("Sequence?", first.text)]
    second, alone = (speaker.answer(study, "Are you sure?", history=history) for speaker in (used, fresh))
    assert 0 < second.usage["cached_tokens"] < second.usage["prompt_tokens"]
    assert second.usage["encoder_frames"] == 0
    assert second.text == alone.text
    chats = [
        speaker._store.pop(key)
        for speaker in (used, fresh)
        for key in list(speaker._store._items)
        if key[-1] == "chat"
    ]
    assert chats[0].ids == chats[1].ids
    assert chats[0].conversation.positions == chats[1].conversation.positions
    assert "I cannot tell" in runtimes[0].tokenizer.show(chats[0].ids)
