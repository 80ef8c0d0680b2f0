"""The nano recipe: the small model the product ships, from public parts to ``assets/nano``."""
