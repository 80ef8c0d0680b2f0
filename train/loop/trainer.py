"""The Trainer of the recipes: transformers' loop with our batches, rates, checkpoints and validation.

What stays transformers': accumulation, token-normalised loss over passes and ranks, clipping, schedule, DeepSpeed,
FSDP. What is ours: batches planned by step, a learning rate per part, bad samples counted, a loss that is not
finite ends the run with the samples' names, state in safetensors and JSON.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object  # type: ignore[import-untyped]
from safetensors import SafetensorError
from torch import nn
from torch.utils.data import DataLoader, Dataset
from transformers import PreTrainedTokenizerFast, Trainer, TrainingArguments

from omnivmed.records import Sample
from train.data.dataset import Encoder, InOrder, PassDataset
from train.data.skips import SkipLog
from train.loop import checkpoint
from train.loop.build import restore, save_state, sort_state, state_of
from train.loop.metrics import MetricsFile
from train.loop.parts import parameter_groups
from train.loop.world import NotFinite, NotWritten
from train.recipes.config import Stage


def first(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Every element of the data set is a whole batch already."""
    return items[0]


@contextmanager
def written(folder: Path) -> Iterator[None]:
    """Raises NotWritten for whatever the libraries that write say of a full or failing disk: safetensors and torch have
    errors of their own, which name neither the folder nor what to do."""
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        said = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise NotWritten(
            f"{folder.name} cannot be written: {said}; make room and start again, the checkpoint before it is whole"
        ) from error


class RecipeTrainer(Trainer):
    """One stage. model: OmniV-Med, or peft's wrapper of it."""

    optimizer: Any
    control: Any

    def __init__(
        self,
        model: nn.Module,
        args: TrainingArguments,
        stage: Stage,
        passes: PassDataset,
        validation: Sequence[Sample],
        encoder: Encoder,
        tokenizer: PreTrainedTokenizerFast,
        skips: SkipLog,
        source: dict[str, str],
    ) -> None:
        self.stage = stage
        self.encoder = encoder
        self.tokenizer = tokenizer
        self.skips = skips
        self.source = source
        self.validation = validation
        self.places = self.filled = 0
        self.since = time.monotonic()
        super().__init__(
            model=model,
            args=args,
            train_dataset=passes,
            eval_dataset=_Placeholder() if validation else None,
            data_collator=first,
            callbacks=[MetricsFile(Path(str(args.output_dir)))],
        )
        self.model_accepts_loss_kwargs = True  # the loss divides by num_items_in_batch, through peft too

    # -- data ------------------------------------------------------------------------------------------------

    def get_train_dataloader(self) -> DataLoader[Any]:
        """This rank's passes, in order. Not prepared by accelerate: the plan has dealt them out already."""
        assert self.train_dataset is not None
        workers = self.args.dataloader_num_workers
        return DataLoader(
            self.train_dataset,  # type: ignore[arg-type,unused-ignore]
            batch_sampler=InOrder(len(self.train_dataset)),  # type: ignore[arg-type,unused-ignore]
            collate_fn=first,
            num_workers=workers,
            prefetch_factor=4 if workers else None,
            pin_memory=self.args.dataloader_pin_memory and torch.cuda.is_available(),
        )

    def training_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """One pass forward and backward. Raises TooManyBadSamples, NotFinite."""
        names, bad = inputs.pop("sample_ids"), inputs.pop("bad")
        self.skips.add(len(names), bad)
        mask = inputs.get("attention_mask")
        self.places += inputs["input_ids"].numel()
        self.filled += inputs["input_ids"].numel() if mask is None else int(mask.sum())
        loss = super().training_step(model, inputs, num_items_in_batch)
        if not bool(torch.isfinite(loss)):
            raise NotFinite(
                f"the loss is {float(loss)} at step {self.state.global_step}; samples: {', '.join(names)}"
            )
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """With every loss also the positions a second over all processes, and the share of them that is padding."""
        if "loss" in logs and self.places:
            now = time.monotonic()
            rate = self.filled * self.args.world_size / max(now - self.since, 1e-9)
            logs |= {"tokens_per_s": round(rate, 1), "padding": round(1 - self.filled / self.places, 4)}
            self.places, self.filled, self.since = 0, 0, now
        super().log(logs, start_time)

    # -- optimizer ---------------------------------------------------------------------------------------------

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW with one learning rate per part."""
        if self.optimizer is None:
            chosen = self.model if model is None else model
            assert chosen is not None
            groups = parameter_groups(chosen, self.stage.rates, self.args.weight_decay)
            # One tensor at a time on the CPU: fused kernels may sum in another order from run to run.
            fused = torch.cuda.is_available()
            self.optimizer = torch.optim.AdamW(
                groups, betas=(0.9, 0.999), eps=1e-8, fused=fused, foreach=False if not fused else None
            )
        made: torch.optim.Optimizer = self.optimizer
        return made

    # -- validation --------------------------------------------------------------------------------------------

    @torch.no_grad()
    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Mean loss per supervised token over the held-out samples, summed over all ranks."""
        world, rank = self.args.world_size, self.args.process_index
        size = self.args.per_device_train_batch_size
        rounds = -(-len(self.validation) // (size * world))
        model = self.model_wrapped
        was_training = model.training
        model.eval()
        sums = torch.zeros(2, dtype=torch.float64, device=self.args.device)
        for k in range(rounds):
            start = (k * world + rank) * size
            # A rank without samples left runs an empty batch: sharded models need every rank in every pass.
            batch = self.encoder.batch(self.validation[start : start + size])
            batch.pop("sample_ids")
            self.skips.note(batch.pop("bad"))
            batch = self._prepare_inputs(batch)
            count = int((batch["labels"][:, 1:] != -100).sum())
            with self.compute_loss_context_manager():
                loss = model(**batch, num_items_in_batch=1.0).loss
            sums += torch.tensor([float(loss), float(count)], dtype=torch.float64, device=sums.device)
        model.train(was_training)
        if world > 1:
            torch.distributed.all_reduce(sums)
        metrics = {f"{metric_key_prefix}_loss": float(sums[0] / max(float(sums[1]), 1.0))}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    # -- checkpoints -------------------------------------------------------------------------------------------

    @property
    def _sharded(self) -> bool:
        return bool(self.is_deepspeed_enabled or self.is_fsdp_enabled)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        if not self.args.should_save:
            return
        model = self.accelerator.unwrap_model(self.model)
        state, adapters = state_of(model) if state_dict is None else sort_state(state_dict, model)
        scale = 1.0
        if adapters:
            settings = model.peft_config["default"]
            scale = settings.lora_alpha / settings.r
        folder = Path(str(output_dir or self.args.output_dir))
        save_state(
            model.config, state, self.tokenizer, folder, self.source, adapters, scale, self.stage.vision
        )

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """As transformers', sealed when every process has written its files: only what is sealed is resumed from."""
        folder = Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}"
        with written(folder):
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
            checkpoint.seal(folder, self.args.process_index, self.args.world_size)

    def whole_checkpoint(self, say: Callable[[str], None]) -> Path | None:
        """The newest checkpoint all of whose files are what was written; each process reads its share of them."""
        for path in checkpoint.newest(Path(str(self.args.output_dir))):
            found = checkpoint.damage(path, self.args.process_index, self.args.world_size)
            told = [text for text in gather_object([found]) if text is not None]
            if not told:
                return path
            say(f"{self.stage.name}: {path.name} is left alone, {told[0]}")
        return None

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        if self._sharded:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        chosen = self.accelerator.unwrap_model(self.model if model is None else model)
        restore(chosen, Path(resume_from_checkpoint))

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if self._sharded:
            super()._save_optimizer_and_scheduler(output_dir)
        elif self.args.should_save:
            checkpoint.save_optimizer(self.optimizer, self.lr_scheduler, Path(output_dir))

    def _load_optimizer_and_scheduler(self, checkpoint_folder: str | None) -> None:
        if checkpoint_folder is None:
            return
        if self._sharded:
            super()._load_optimizer_and_scheduler(checkpoint_folder)
        else:
            checkpoint.load_optimizer(self.optimizer, self.lr_scheduler, Path(checkpoint_folder))

    def _save_rng_state(self, output_dir: str) -> None:
        checkpoint.save_rng(Path(output_dir), self.args.process_index)

    def _load_rng_state(self, checkpoint_folder: str | None) -> None:
        if checkpoint_folder is not None:
            checkpoint.load_rng(Path(checkpoint_folder), self.args.process_index)


class _Placeholder(Dataset[Any]):
    """The Trainer asks for a data set before it evaluates; `evaluate` takes the samples themselves."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Any:
        raise IndexError(index)
