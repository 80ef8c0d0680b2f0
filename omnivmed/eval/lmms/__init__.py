"""Plug-in for lmms-eval: our models and our scorers inside that harness, in an environment of its own.

lmms-eval brings torchvision and 84 packages, so nothing else here imports this folder. See docs/evaluation.md.
"""
