"""VQA-RAD: nano beside the commonest answer, question-only guessing, and question-only models of its own size.

Arms: ``nano`` as it ships, with the picture and with a grey one; ``fine-tuned`` (nano trained further on VQA-RAD's
training questions, as the published 2D protocol does) and ``words alone`` (the same, never shown a picture).
Training uses rows that are in the training part of *both* splits, so one model may be asked about either test part.
Predictions are written in the format of ``omnivmed.eval`` before anything is scored.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.torch import load_file
from torch import Tensor

from omnivmed.eval import baselines, predictions, vqa_rad
from omnivmed.eval.compare import Comparison, compare
from omnivmed.eval.predictions import Header, Reply
from omnivmed.eval.protocol import LLAVA_MED, Score
from omnivmed.eval.report import Row, markdown
from omnivmed.records import Item, Reading
from train.claims.parts import Parts, backbone_folder, healed_encoder
from train.claims.setting import Setting
from train.claims.steps import Kind, Rates, Step, asked_in, stage, steps_of, train
from train.data.tree import Packed, collate, make_tree
from train.nano.data.sampling import Pool
from train.nano.data.studies import StudyView, still
from train.nano.data.views import STILL_TOKENS, augment, fit
from train.nano.data.views import Item as Picture
from train.nano.fit.answering import Answering
from train.nano.fit.tuning import Nano
from train.nano.parts.language_model import load_language_model, switch_lora
from train.nano.parts.words import Projector
from train.nano.text.questions import QA

SPLITS = {"vqa_rad": "test", "vqa_rad-by-image": "test-by-image"}
RATES = Rates(projector=2e-4, lora=4e-4)
PICTURES, QUESTIONS = 4, 6
NEW_TOKENS = 24
ALIKE = 64  # questions without a picture of their own that are answered side by side
SEEING, BLIND = Kind("vqa_rad", stills=PICTURES, questions=QUESTIONS), "words alone"


def exported(setting: Setting) -> Parts:
    """A shipped nano folder as parts that can be trained further."""
    from omnivmed.weights.names import resolve

    folder = resolve(setting.model).folder
    language_model, tokenizer = load_language_model(backbone_folder(setting))
    nano = Nano(
        setting.load_bank(),
        healed_encoder(setting.model),
        Projector(),
        language_model,
        tokenizer,
        None,
        {},
        [],
        seed=setting.seed,
    )
    projector = Projector().state_dict()
    files = load_file(folder / "encoder_projector.safetensors")
    for ours, theirs in (("fc1", "readout.0"), ("fc2", "readout.2")):
        for end in ("weight", "bias"):
            projector[f"{ours}.{end}"] = files[f"model.projector.{theirs}.{end}"].float()
    start = {f"projector.{k}": v for k, v in projector.items()}
    lora = load_file(folder / "lora.safetensors")
    start |= {k: lora[k.removeprefix("lora.model.")].float() for k in nano.state() if k.startswith("lora.")}
    return Parts(nano, start)


def training_rows(root: Path) -> list[Item]:
    """Official training rows about pictures of the by-image training part."""
    rows = vqa_rad.read(root, "train").items
    return [item for item in rows if vqa_rad.part_by_image(item.group) == "train"]


def batches(
    rows: Sequence[Item], seeing: bool
) -> Callable[[Nano, Pool, list, Step, int], list[tuple[list[StudyView], Packed]]]:
    """Batches of PICTURES pictures with QUESTIONS questions each, pure in (seed, number). No flips: left is left."""
    by_image: dict[str, list[Item]] = {}
    for item in rows:
        by_image.setdefault(item.group, []).append(item)
    names = sorted(by_image)

    def make(
        nano: Nano, pool: Pool, sequences: list, step: Step, seed: int
    ) -> list[tuple[list[StudyView], Packed]]:
        rng = np.random.default_rng((seed, zlib.crc32(step.kind.name.encode()), step.number))
        # pictures with more questions come more often, so that every question is asked about equally often
        weights = np.array([len(by_image[n]) for n in names], dtype=float)
        chosen = rng.choice(len(names), min(step.kind.stills, len(names)), False, weights / weights.sum())
        studies, trees = [], []
        for place in chosen:
            asked = by_image[names[place]]
            pick = rng.permutation(len(asked))[: step.kind.questions]
            qas = [QA("vqa", "text", asked[i].question, asked[i].answer) for i in pick]
            entry = nano.bank[f"vqa_rad/{names[place]}"]
            if seeing:
                image = fit(augment(entry.array, rng, flip=0.0), STILL_TOKENS)
                study = replace(still(entry, Picture(entry.record.id), None), frames=image[None])
                tokens = image.shape[0] * image.shape[1] // 28**2
                study = replace(study, keep=np.ones((1, tokens), bool))
                studies.append(study)
                trees.append(make_tree(nano.tokenizer, "image", study.tokens_per_frame, None, qas))
            else:
                trees.append(make_tree(nano.tokenizer, "image", (), None, qas))
        return [(studies, collate(trees, nano.pad_id))]

    return make


def grey() -> StudyView:
    """Nothing to see: one grey square of the usual size."""
    side = round(STILL_TOKENS**0.5) * 28
    frames = np.full((1, side, side, 3), 127, np.uint8)
    return StudyView("grey", "image", frames, np.ones((1, STILL_TOKENS), bool), None, {})


def say(parts: Parts, weights: dict[str, Tensor], items: Sequence[Item], how: str) -> dict[str, Reply]:
    """A reply to every item. how: "picture", "grey" (nothing to see) or "none" (no picture in the prompt)."""
    parts.nano.load(weights)
    switch_lora(parts.nano.lm, True)
    if how != "picture":  # the answer depends on the question alone: each is asked once
        questions = sorted({LLAVA_MED.prompt(item) for item in items}, key=lambda q: (len(q), q))
        shown = None if how == "none" else grey()
        groups = [questions[at : at + ALIKE] for at in range(0, len(questions), ALIKE)]
        said = flat(Answering(parts.nano).answers([(shown, group) for group in groups], NEW_TOKENS))
        by_question = dict(zip(questions, said, strict=True))
        return {item.id: Reply(by_question[LLAVA_MED.prompt(item)]) for item in items}
    by_picture: dict[str, list[Item]] = {}
    for item in items:
        by_picture.setdefault(item.group, []).append(item)
    cases = []
    for group, own in by_picture.items():
        record = f"vqa_rad/{group}"
        view = still(parts.nano.bank[record], Picture(record), None)
        cases.append((view, [LLAVA_MED.prompt(item) for item in own]))
    texts = flat(Answering(parts.nano).answers(cases, NEW_TOKENS))
    ordered = [item for own in by_picture.values() for item in own]
    return {item.id: Reply(text) for item, text in zip(ordered, texts, strict=True)}


def flat(answers: Sequence[Sequence[str]]) -> list[str]:
    return [text for own in answers for text in own]


def store(file: Path, header: Header, items: Sequence[Item], replies: dict[str, Reply]) -> None:
    """Complete or not there: written aside, then moved."""
    part = file.with_suffix(".part")
    part.unlink(missing_ok=True)
    predictions.run(items, LLAVA_MED, header, lambda item, _: replies[item.id], part)
    part.replace(file)


def run(setting: Setting, parts: Parts | None = None) -> str:
    """Markdown; everything lands in ``OUT/vqa_rad``. ``minutes`` 0: no fine-tuning, the shipped model only."""
    root, folder = setting.data / "vqa_rad", setting.out / "vqa_rad"
    folder.mkdir(parents=True, exist_ok=True)
    readings = {name: vqa_rad.read(root, split) for name, split in SPLITS.items()}
    both = list({item.id: item for reading in readings.values() for item in reading.items}.values())
    arms: dict[str, tuple[str, Callable[[Parts], dict[str, Tensor]]]] = {
        "nano": ("picture", lambda p: p.start),
        "nano, grey picture": ("grey", lambda p: p.start),
    }
    if setting.minutes > 0:
        steps, rows = steps_of(setting.minutes), training_rows(root)

        def tuned(seeing: bool) -> Callable[[Parts], dict[str, Tensor]]:
            name = f"{'fine-tuned' if seeing else 'words-alone'}-{steps}"
            kind = SEEING if seeing else replace(SEEING, name="vqa_rad")
            make = batches(rows, seeing)
            return lambda p: train(p, folder / name, stage(kind, steps), setting.seed, rates=RATES, make=make)

        arms["nano, fine-tuned"] = ("picture", tuned(True))
        arms["nano, fine-tuned, grey picture"] = ("grey", tuned(True))
        arms["words alone, fine-tuned"] = ("none", tuned(False))
    texts: list[str] = []
    facts: list[str] = []
    files = {
        (arm, name): folder / f"predictions/{arm.replace(', ', '-').replace(' ', '-')}.{name}.jsonl"
        for arm in (*arms, "majority", "question-only")
        for name in SPLITS
    }
    for arm, (how, weights) in arms.items():
        if not all(files[arm, name].exists() for name in SPLITS):
            parts = parts or exported(setting)
            replies = say(parts, weights(parts), both, how)
            for name, reading in readings.items():
                store(files[arm, name], header(name, reading, arm), reading.items, replies)
    for name, reading in readings.items():
        known = vqa_rad.read(root, SPLITS[name].replace("test", "train")).items
        for arm, maker in (("majority", baselines.majority), ("question-only", baselines.question_only)):
            answer = maker(known)
            replies = {i.id: answer(i, LLAVA_MED.prompt(i)) for i in reading.items}
            store(files[arm, name], header(name, reading, arm), reading.items, replies)
    rows_of, differences = [], []
    for name, reading in readings.items():
        given = {arm: predictions.load(files[arm, name]) for arm in (*arms, "majority", "question-only")}
        for head, replies in given.values():
            rows_of.append(Row(head, tuple(LLAVA_MED.score(reading.items, predictions.texts(replies)))))
        differences += pairs(name, reading, {a: predictions.texts(r) for a, (_, r) in given.items()})
    texts.append(markdown("VQA-RAD", rows_of, "python -m train.claims vqa_rad"))
    texts.append("Differences in points, paired, 95 % interval over pictures:\n")
    texts += [f"- {name}: {d.text()}" for name, d in differences]
    if setting.minutes > 0:
        for name in ("fine-tuned", "words-alone"):
            done = folder / f"{name}-{steps_of(setting.minutes)}"
            if (done / "done.json").exists():
                facts.append(f"- {name}: {asked_in(done)} questions in {steps_of(setting.minutes)} steps.")
    text = "\n".join([*texts, *facts]) + "\n"
    (folder / "table.md").write_text(text, encoding="utf-8")
    save_numbers(folder / "table.json", rows_of, differences)
    return text


def counts(setting: Setting) -> tuple[int, int]:
    """Questions asked of the official test part and of the test part by image."""
    official, by_image = (
        len(vqa_rad.read(setting.data / "vqa_rad", split).items) for split in SPLITS.values()
    )
    return official, by_image


def header(name: str, reading: Reading, arm: str) -> Header:
    digest = LLAVA_MED.prompt_hash(reading.items)
    return Header(name, SPLITS[name], LLAVA_MED.name, digest, arm, None, reading.note, len(reading.items))


def pairs(name: str, reading: Reading, texts: dict[str, dict[str, str]]) -> list[tuple[str, Comparison]]:
    """Every seeing arm against everything that does not see."""
    out = []
    for arm in ("nano", "nano, fine-tuned"):
        for other in texts:
            blind = other in ("majority", "question-only", "words alone, fine-tuned", f"{arm}, grey picture")
            if arm in texts and blind:
                found = compare(LLAVA_MED.name, reading.items, (arm, texts[arm]), (other, texts[other]))
                out += [(name, c) for c in found]
    return out


def save_numbers(file: Path, rows: Sequence[Row], differences: Sequence[tuple[str, Comparison]]) -> None:
    import json

    def plain(row: Row, score: Score) -> dict[str, object]:
        return {"model": row.header.model, "benchmark": row.header.benchmark, **vars(score)}

    numbers = {
        "scores": [plain(row, score) for row in rows for score in row.scores],
        "differences": [{"benchmark": name, **vars(d)} for name, d in differences],
    }
    file.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
