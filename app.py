"""OmniV-Med in the browser: `python app.py`, then http://127.0.0.1:7860. Not for clinical use.

The same as `omnivmed serve`, for a checkout and for a hub Space (`app_file` in README.md).

python app.py --port 7860 --model nano --threshold 0.1     a page for this computer only
python app.py --offline                                    no outbound connection at all
python app.py --public --host 0.0.0.0                      for strangers: lower limits, asks about burned-in text
"""

from __future__ import annotations

import sys

from omnivmed.cli import main

if __name__ == "__main__":
    sys.exit(main(["serve", *sys.argv[1:]]))
