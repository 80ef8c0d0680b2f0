"""General questions whose targets are the untouched language model's own answers: language is to stay whole.

Generated once, greedily, in batches; committed nowhere (they follow from the pinned weights).
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from train.loop.store import write_json

COUNTRIES = (
    "France Germany Spain Japan India Brazil Canada Egypt Kenya Norway Greece Poland Peru China Turkey Ireland "
    "Portugal Sweden Mexico Vietnam"
)
TERMS = (
    "MRI|CT scan|X-ray|ultrasound|pneumonia|artery|vein|femur|liver|kidney|lung|heart|brain|spinal cord|retina|"
    "red blood cell|white blood cell|platelet|oedema|tumour|fracture|contrast agent|radiologist|anatomy|biopsy"
)
TOPICS = (
    "rain|gravity|photosynthesis|the seasons|a volcano|a rainbow|the internet|a bicycle|bread|music|money|"
    "a library|sleep|the moon|a computer|a bridge|chess|tea|friendship|a garden|the ocean|electricity|a clock|"
    "a train|history"
)
EVERYDAY = (
    (
        "What is {t}?",
        "1 + 1|2 + 5|4 + 4|6 + 3|8 - 2|9 - 5|10 + 7|3 times 4|5 times 5|12 divided by 3|half of 20",
    ),
    ("What day comes after {t}?", "Monday|Tuesday|Wednesday|Thursday|Saturday|Sunday"),
    ("What month comes before {t}?", "March|June|October|December"),
    ("What is the opposite of {t}?", "hot|small|fast|old|up|light|happy|early|full|left"),
    ("What colour is {t}?", "grass|blood|snow|a banana|coal|an orange|milk|a strawberry|the sea"),
    (
        "How many {t}?",
        "days are in a week|hours are in a day|legs does a spider have|seconds are in a minute",
    ),
    ("Name three {t}.", "fruits|colours|countries|birds|metals|musical instruments|sports|vegetables"),
    ("Name two {t}.", "planets|rivers|flowers|languages|continents|trees"),
    ("What is {t} made of?", "glass|paper|steam|cheese|bread|a candle|wool"),
    ("Tell me a fact about {t}.", "dogs|bees|whales|the sun|elephants|honey|trees|rivers"),
    ("Translate '{t}' into Spanish.", "good morning|water|house|friend"),
    ("Give me a word that rhymes with {t}.", "dog|sun|tree|light"),
    ("What does the {t} do?", "liver|lung|stomach|brain|skin|kidney|eye"),
    ("Which planet is {t}?", "the largest|closest to the sun|known for its rings"),
)
ASKS = ("Write one sentence about {t}.", "Explain {t} in simple words.", "Why is {t} important?")
OTHER = (
    "Hello!|Hi, how are you?|Thank you.|Who are you?|What can you do?|What is 2 + 2?|What is 7 times 6?|"
    "What is 15 minus 9?|Name three colours.|Name three fruits.|Count from one to five.|"
    "What day comes after Monday?|Write a short poem.|Translate 'good morning' into French.|"
    "What is the opposite of hot?|How many days are in a week?|Give me a tip for learning.|"
    "Correct this sentence: he go to school.|Which is larger, the sun or the earth?|What is water made of?"
)
# asked only by the evaluation
HELD_OUT = (
    "What is the capital of Italy?",
    "What is the capital of Austria?",
    "What is 3 + 5?",
    "What is 9 times 3?",
    "Name three animals.",
    "What day comes after Friday?",
    "How many months are in a year?",
    "What is the opposite of big?",
    "Write one sentence about winter.",
    "Explain magnetism in simple words.",
    "What does the heart do?",
    "What is a dictionary?",
    "Which planet do we live on?",
    "Name two oceans.",
    "What colour is the sky?",
    "Tell me a fact about cats.",
    "What is ice made of?",
    "Give me a word that rhymes with cat.",
    "What do plants need to grow?",
    "Translate 'thank you' into Spanish.",
)


def prompts() -> list[str]:
    out = [f"What is the capital of {c}?" for c in COUNTRIES.split()]
    out += [q.format(t=t) for t in TERMS.split("|") for q in ("What is a {t}?", "What does {t} mean?")]
    out += [q.format(t=t) for t in TOPICS.split("|") for q in ASKS]
    out += [*OTHER.split("|"), *(q.format(t=t) for q, words in EVERYDAY for t in words.split("|"))]
    return [q for q in dict.fromkeys(out) if q not in HELD_OUT]


@torch.no_grad()
def generate(language_model, tokenizer, questions: list[str], tokens: int = 40) -> list[str]:  # type: ignore[no-untyped-def]
    """Greedy answers in batches of 32, cut at the last full sentence when they run out of tokens."""
    from omnivmed.model.prompts import build_prompt

    rows = [build_prompt(tokenizer, q, "image", (), None, (), 0, 0) for q in questions]
    stop = tokenizer.get_added_vocab()["<|im_end|>"]
    training_attention, language_model.config._attn_implementation = (
        language_model.config._attn_implementation,
        "sdpa",
    )
    answers = []
    for start in range(0, len(rows), 32):
        part = rows[start : start + 32]
        length = max(map(len, part))
        ids = torch.tensor([[stop] * (length - len(r)) + r for r in part])
        mask = torch.tensor([[0] * (length - len(r)) + [1] * len(r) for r in part])
        out = language_model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=tokens,
            do_sample=False,
            eos_token_id=stop,
            pad_token_id=stop,
        )
        for row in out[:, length:].tolist():
            whole = stop in row
            text = tokenizer.decode(
                row[: row.index(stop)] if whole else row, skip_special_tokens=True
            ).strip()
            answers.append(text if whole else text[: text.rfind(".") + 1])
    language_model.config._attn_implementation = training_attention
    return answers


def build_general(language_model, tokenizer, path: Path) -> list[tuple[str, str]]:  # type: ignore[no-untyped-def]
    if not path.exists():
        questions = prompts()
        pairs = zip(questions, generate(language_model, tokenizer, questions), strict=True)
        write_json([[q, a] for q, a in pairs if a], path)
    return [(q, a) for q, a in json.loads(path.read_text())]
