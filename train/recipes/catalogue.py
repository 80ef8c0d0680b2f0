"""The recipes. Where a value is ours and not a published one, the line says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from omnivmed.vision.budget import VisionBudget
from train.recipes.config import LoRA, ModelSpec, Rates, Source, Stage, TrainConfig

# OmniV-Med §3.1: numbers of samples. Learning rates: VideoLLaMA3's scripts.
ALIGN_SAMPLES = INSTRUCT_SAMPLES = 647_031
MIXED_SAMPLES = 252_000

ALIGN = Stage(
    name="align",
    sources=(Source("pubmedvision", "PubMedVision", "alignment"),),
    samples=ALIGN_SAMPLES,
    rates=Rates(llm=None, projector=1e-3, encoder=1e-5),
    mean_tokens=1_500,
)
INSTRUCT = Stage(
    name="instruct",
    sources=(Source("pubmedvision", "PubMedVision", "instruction"),),
    samples=INSTRUCT_SAMPLES,
    rates=Rates(llm=1e-5, projector=1e-5, encoder=2e-6),
    mean_tokens=1_500,
)
MIXED = Stage(
    name="mixed",
    # OmniV-Med-Instruct is not released: its parts as the paper lists them, each from its own public layout.
    sources=(
        Source("vqa_rad", "VQA-RAD"),
        Source("slake", "SLAKE"),
        Source("pathvqa", "PathVQA"),
        Source("mimic_cxr", "MIMIC-CXR"),
        Source("pubmedvision", "PubMedVision", "instruction", limit=70_000),
        Source("m3d_vqa", "M3D", limit=50_000),  # 75K of M3D in all; how they divide is ours
        Source("m3d_cap", "M3D", limit=10_000),
        Source("m3d_retrieval", "M3D", limit=5_000),
        Source("m3d_positioning", "M3D", limit=10_000),
        Source("cholec80", "Cholec80-VQA"),
        Source("endovis18", "EndoVis18-VQA"),
        Source("psi_ava", "PSI-AVA-VQA"),
        Source("conversations", "surgical-captions.jsonl"),
    ),
    samples=MIXED_SAMPLES,
    rates=Rates(llm=1e-5, projector=1e-5, encoder=2e-6),
    threshold=0.1,
    mean_tokens=2_500,
    mean_patches=5_000,  # ours: volumes of 32 slices 10,400, clips of 8 frames about 8,000, stills 1,200
)
STAGES = (ALIGN, INSTRUCT, MIXED)


def omnivmed_1p5b_8x24gb() -> TrainConfig:
    """OmniV-Med-1.5B on eight cards of 24 GB: ZeRO-2, passes filled to 16,384 positions or one largest clip."""
    return TrainConfig(
        name="omnivmed_1p5b_8x24gb",
        model=ModelSpec(
            "1.5b", "parts", encoder="DAMO-NLP-SG/VL3-SigLIP-NaViT", llm="Qwen/Qwen2.5-1.5B-Instruct"
        ),
        stages=STAGES,
        sharding="zero2",
        fill=True,
        patch_budget=40_960,
    )


def omnivmed_7b_8x80gb() -> TrainConfig:
    """OmniV-Med-7B on eight cards of 80 GB: ZeRO-2 would fit, ZeRO-3 leaves room for passes of 32,768 positions."""
    return TrainConfig(
        name="omnivmed_7b_8x80gb",
        model=ModelSpec(
            "7b", "parts", encoder="DAMO-NLP-SG/VL3-SigLIP-NaViT", llm="Qwen/Qwen2.5-7B-Instruct"
        ),
        stages=STAGES,
        sharding="zero3",
        fill=True,
        token_budget=32_768,
        patch_budget=98_304,
    )


def omnivmed_7b_lora_1x24gb() -> TrainConfig:
    """The 7B model on one card of 24 GB: adapters on the language model, encoder frozen, shorter clips.

    The alignment stage is left out: it starts from a checkpoint that is aligned already.
    """
    short = VisionBudget(max_tokens=2_048, max_frames=32)  # ours: what fits beside 16 GB of weights
    rates = Rates(llm=1e-4, projector=1e-5, encoder=None)  # adapters take a larger rate; ours
    return TrainConfig(
        name="omnivmed_7b_lora_1x24gb",
        model=ModelSpec("7b", "checkpoint", checkpoint="checkpoints/VideoLLaMA3-7B-converted"),
        stages=tuple(
            replace(stage, rates=rates, vision=short, max_length=4_096, mean_tokens=1_000)
            for stage in (INSTRUCT, MIXED)
        ),
        lora=LoRA(),
        fill=True,
        token_budget=4_096,
        patch_budget=8_192,
    )


def continue_1p5b_8x24gb() -> TrainConfig:
    """Only the mixed stage, from a converted public checkpoint (VideoLLaMA3-2B): the cheap start."""
    return replace(
        omnivmed_1p5b_8x24gb(),
        name="continue_1p5b_8x24gb",
        model=ModelSpec("1.5b", "checkpoint", checkpoint="checkpoints/VideoLLaMA3-2B-converted"),
        stages=(MIXED,),
    )


def tiny() -> TrainConfig:
    """All three stages on phantoms drawn by code: a random model of 0.2 million parameters, a CPU core, two minutes."""
    vision = VisionBudget(max_tokens=128, max_frames=6, image_merge_size=2, min_tokens=4, min_frames=4)
    rates = Rates(llm=3e-3, projector=3e-3, encoder=1e-3)
    common = Stage(
        name="align",
        sources=(Source("conversations", "phantoms/captions.jsonl"),),
        samples=540,
        rates=replace(rates, llm=None),
        global_batch=16,
        max_length=256,
        vision=vision,
        steps=60,
        mean_tokens=40,
    )
    return TrainConfig(
        name="tiny",
        model=ModelSpec("tiny", "random"),
        stages=(
            common,
            replace(
                common,
                name="instruct",
                sources=(Source("conversations", "phantoms/questions.jsonl"),),
                rates=rates,
                steps=300,
            ),
            replace(
                common,
                name="mixed",
                sources=(
                    Source("conversations", "phantoms/questions.jsonl", weight=0.5),
                    Source("conversations", "phantoms/volumes.jsonl"),
                    Source("conversations", "phantoms/clips.jsonl"),
                ),
                rates=rates,
                threshold=0.1,
                steps=300,
            ),
        ),
        micro_batch=8,
        token_budget=4_096,
        patch_budget=16_384,
        precision="fp32",
        activation_checkpointing=False,
        validate=0.1,
        validate_every=100,
        save_every=100,
        log_every=1,
        tracker="none",
    )


RECIPES: dict[str, Callable[[], TrainConfig]] = {
    f.__name__: f
    for f in (
        tiny,
        omnivmed_1p5b_8x24gb,
        omnivmed_7b_8x80gb,
        omnivmed_7b_lora_1x24gb,
        continue_1p5b_8x24gb,
    )
}


def recipe(name: str) -> TrainConfig:
    """The recipe of that name. Raises ValueError listing the names."""
    if name == "nano":  # other parts and stages than OmniV-Med's: its values are in train/nano/fit/recipe.py
        raise ValueError("nano has a recipe and a command of its own: python -m train.nano --help")
    if name not in RECIPES:
        raise ValueError(f"no recipe {name!r}; choose from {', '.join(RECIPES)}")
    return RECIPES[name]()
