"""The training stages: numbers, batches, loops."""
