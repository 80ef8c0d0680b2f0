"""OmniV-Med in the browser: `python app.py`, then http://127.0.0.1:7860. Not for clinical use.

python app.py --port 7860 --model nano --threshold 0.1     a page for this computer only
python app.py --offline                                    no outbound connection at all
python app.py --public --host 0.0.0.0                      for strangers: lower limits, asks about burned-in text
"""

from __future__ import annotations

import logging
import sys
import threading

from omnivmed.io import warm_up
from omnivmed.ui.visit.environment import prepare
from omnivmed.ui.visit.settings import read_settings

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
logging.getLogger("httpx").setLevel(logging.WARNING)
settings = read_settings(sys.argv[1:] if __name__ == "__main__" else [])
root = prepare(offline=settings.offline)  # before Gradio is imported: it reads its environment then
threading.Thread(target=warm_up, name="omnivmed-decoder", daemon=True).start()  # while Gradio is imported

from omnivmed.ui.app import build_demo, launch, make_context  # noqa: E402

context = make_context(settings, root)
demo = build_demo(context)

if __name__ == "__main__":
    launch(demo, context)
