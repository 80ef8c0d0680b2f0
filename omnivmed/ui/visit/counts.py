"""What happened since the start, in numbers for the operator: no name, no address, nothing of a study."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from omnivmed.ui import texts

SECONDS = (0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120)


class Counts:
    """Counters of one running page, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._answers = Histogram(
            "omnivmed_answer_seconds",
            texts.METRICS["answer_seconds"],
            ["code"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._openings = Histogram(
            "omnivmed_opening_seconds",
            texts.METRICS["opening_seconds"],
            ["code"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._refused = Counter(
            "omnivmed_refused",
            texts.METRICS["refused"],
            ["reason"],
            registry=self.registry,
        )

    def answered(self, code: str, seconds: float) -> None:
        """An answer is over: "ok", "stopped", "error" or "closed"."""
        self._answers.labels(code).observe(seconds)

    def opened(self, code: str, seconds: float) -> None:
        """An upload was opened ("ok") or refused (the code of its StudyError)."""
        self._openings.labels(code).observe(seconds)

    def refuse(self, reason: str) -> None:
        """A request was turned away; the reasons are those of `omnivmed.ui.web.gate`."""
        self._refused.labels(reason).inc()

    def total(self, name: str) -> int:
        """How many answers, openings or refusals there were: "answers", "openings", "refused"."""
        metric = {"answers": self._answers, "openings": self._openings, "refused": self._refused}[name]
        suffix = "_total" if name == "refused" else "_count"
        samples = (sample for family in metric.collect() for sample in family.samples)
        return int(sum(sample.value for sample in samples if sample.name.endswith(suffix)))
