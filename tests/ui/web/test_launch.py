"""What the terminal says once the page is served, and that doctor and page speak of the same program and weights."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from omnivmed import __version__
from omnivmed.cli import main
from omnivmed.inference.cards import title_of
from omnivmed.limits import LOCAL
from omnivmed.ui.page.parts import footer
from omnivmed.ui.visit.service import OnlyOnce
from omnivmed.ui.visit.settings import AppSettings
from omnivmed.ui.web.launch import invitation


def test_the_terminal_says_where_to_look_and_how_to_stop() -> None:
    told = invitation(SimpleNamespace(settings=AppSettings()), "http://127.0.0.1:7860/")  # type: ignore[arg-type]
    assert "Open http://127.0.0.1:7860 in a browser" in told
    assert "Ctrl-C" in told
    assert "Not for clinical use" in told
    open_page = AppSettings(host="0.0.0.0", public=True)
    told = invitation(SimpleNamespace(settings=open_page), "http://0.0.0.0:80/")  # type: ignore[arg-type]
    assert "on this computer" not in told


def test_doctor_page_and_terminal_name_the_same_versions(capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "--quick"])
    nano = title_of("nano")
    assert nano.split()[1], "the card of the embedded model names its version"
    doctor = capsys.readouterr().out
    assert doctor.startswith(f"OmniV-Med {__version__} with {nano},")
    assert f"OmniV-Med {__version__} · {nano} ·" in footer(LOCAL, nano)
    assert f"OmniV-Med {__version__} with {nano}." in invitation(
        SimpleNamespace(settings=AppSettings()),  # type: ignore[arg-type]
        "http://127.0.0.1:7860/",
    )


def test_what_is_called_a_folder_keeps_its_place_to_itself(tmp_path_factory: pytest.TempPathFactory) -> None:
    assert title_of(str(tmp_path_factory.mktemp("someone") / "weights")) == "weights"


def test_the_first_start_is_told_apart_from_later_ones() -> None:
    once = OnlyOnce()
    assert once.told(4.0) == "", "a later start has nothing that is done only once"
    for now, stage in ((0.0, "downloading"), (9.0, "downloading"), (10.0, "converting"), (14.0, "checking")):
        once.note(stage, now)
    once.note("loading", 14.5)
    assert once.told(20.0) == " first_start=yes downloading=10.0 converting=4.0 later_starts=6.0"
