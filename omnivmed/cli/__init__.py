"""The command line: ask, serve, prune, info, doctor, convert, weights.

Results go to stdout; progress, notes and the summary to stderr. Wrong input is one sentence on stderr and exit
code 2, never a traceback; an interrupted run ends with 130. Each command imports what it needs when it runs.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence

from omnivmed.cli.parser import UsageError, build_parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code: 0 done, 1 `doctor` found something missing, 2 wrong input, 130 interrupted."""
    parser = build_parser()
    try:
        args = parser.parse_args(joined(sys.argv[1:] if argv is None else argv))
        if not os.environ.get("PYTHONWARNINGS"):
            warnings.simplefilter(
                "ignore"
            )  # remarks of libraries are nothing a person at the shell can act on
        from omnivmed.model.hardware import wait_passively

        wait_passively()
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        if getattr(args, "offline", False):
            os.environ["HF_HUB_OFFLINE"] = "1"
        return int(args.run(args))
    except UsageError as error:
        return complain(str(error))
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output (head, less) went away
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  nothing more to flush into the closed pipe
        return 0
    except Exception as error:
        from omnivmed.errors import OmniVMedError

        if isinstance(error, OmniVMedError):
            return complain(error.message)
        raise


def joined(argv: Sequence[str]) -> list[str]:
    """`prune compare …` is one command of two words; a study of the name "compare" is `prune ./compare`."""
    return ["prune compare", *argv[2:]] if list(argv[:2]) == ["prune", "compare"] else list(argv)


def complain(sentence: str) -> int:
    """One sentence on stderr; returns exit code 2."""
    print(sentence, file=sys.stderr)
    return 2
