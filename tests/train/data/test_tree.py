"""Tree packing equals separate sequences; only answers are supervised; LoRA starts as the identity."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from tests.train.tiny import ByteTokenizer, tiny_language_model
from train.data.tree import collate, forward_hidden, make_tree, weighted_target
from train.nano.parts.language_model import add_lora, lora_state, switch_lora
from train.nano.text.questions import QA

ASKED = [
    QA("modality", "sentence", "What is it?", "An {MRI}."),
    QA("plane", "word", "Which plane, please?", "{axial}"),
]


def losses(model: Any, groups: list[list[QA]], visual: torch.Tensor) -> torch.Tensor:
    """Loss of every supervised token; each group is one packed row with its own copy of the visual tokens."""
    trees = [make_tree(ByteTokenizer(), "image", [3], None, group) for group in groups]
    packed = collate(trees, pad_id=2)
    hidden = forward_hidden(model, packed, visual.repeat(len(groups), 1))
    return F.cross_entropy(model.lm_head(hidden).float(), packed.targets, reduction="none")


def test_packed_branches_equal_separate_sequences() -> None:
    model = tiny_language_model()
    visual = torch.randn(3, 32)
    together = losses(model, [ASKED], visual)
    apart = torch.cat([losses(model, [[qa]], visual) for qa in ASKED])
    padded = losses(model, [[qa] for qa in ASKED], visual)
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=0)
    torch.testing.assert_close(padded, apart, atol=1e-5, rtol=0)


def test_branches_and_rows_do_not_see_each_other() -> None:
    model = tiny_language_model()
    visual = torch.randn(3, 32)
    changed = [ASKED[0], QA("plane", "word", "Which PLANE, please?", "{axial}")]
    first = len(weighted_target(ByteTokenizer(), ASKED[0])[0])
    torch.testing.assert_close(
        losses(model, [ASKED], visual)[:first], losses(model, [changed], visual)[:first]
    )


def test_video_and_volume_rows_carry_times_and_separators() -> None:
    tokenizer = ByteTokenizer()
    video = make_tree(tokenizer, "video", [2, 1], [0.0, 1.5], ASKED)
    assert len(video.visual) == 3
    assert "Time 1.5s:" in tokenizer.decode(video.ids)
    volume = make_tree(tokenizer, "volume", [2, 1], None, ASKED)
    assert tokenizer.decode(volume.ids).count(",") == 1 + 1  # one separator, one in a question


def test_weights_mark_the_informative_words() -> None:
    ids, weights = weighted_target(ByteTokenizer(), ASKED[0])
    assert len(ids) == len(weights) == len("An MRI.") + 1
    assert weights == [3, 1, 1, 3, 3, 3, 1, 1], "first token and marked words"


def test_lora_starts_as_identity_and_can_be_switched() -> None:
    model = tiny_language_model()
    ids = torch.arange(10, 20)[None]
    before = model(ids).logits
    paths = add_lora(model, rank=2, scale=2.0)
    assert len(paths) == 2 * 7
    assert len(lora_state(model)) == 2 * 2 * 7
    torch.testing.assert_close(model(ids).logits, before)
    for name, parameter in lora_state(model).items():
        if name.endswith("lora_B"):
            torch.nn.init.normal_(parameter.data)
    assert not torch.allclose(model(ids).logits, before)
    switch_lora(model, False)
    torch.testing.assert_close(model(ids).logits, before)
