"""The loop: a thin subclass of the transformers Trainer, its checkpoints, and the run folder."""
