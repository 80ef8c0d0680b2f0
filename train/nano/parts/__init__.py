"""What is trained: encoder and its teacher, projector, language model with LoRA."""
