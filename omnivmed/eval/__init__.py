"""Evaluation on the published benchmarks: layouts, protocols, metrics, predictions, scores, report.

Predictions are written first, scoring reads them back: a score can always be computed again, by another rule too.
Every score names its protocol, because the same answers differ by 4 to 13 points between protocols.
Nothing here imports torch.
"""
