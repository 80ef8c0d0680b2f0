"""The viewer's typedefs (canvas/static/types.d.ts) say what Python sends: names always, values where tsc is."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnivmed.pruning import keep_mask
from omnivmed.study import Study
from omnivmed.ui.canvas.container import payload_path
from omnivmed.ui.canvas.payload import pack_mask, pack_pixels, pack_study
from omnivmed.ui.canvas.viewer import STATIC, ViewerState, ViewerValue
from omnivmed.ui.visit.service import ModelFacts
from omnivmed.vision import NANO_BUDGET, prepare
from tests import phantoms

TYPES = STATIC / "types.d.ts"
ROOT = Path(__file__).resolve().parents[3]
TSC = ROOT / "tests" / "js" / "node_modules" / ".bin" / "tsc"


def declared(name: str) -> tuple[set[str], set[str]]:
    """(names that must be there, names that may be) of an interface, its parents' included."""
    text = re.sub(r"/\*\*.*?\*/", "", TYPES.read_text(encoding="utf-8"), flags=re.DOTALL)
    found = re.search(
        rf"^export interface {name}(?: extends (\w+))? \{{\n(.*?)^\}}", text, re.DOTALL | re.MULTILINE
    )
    assert found is not None, name
    must, may = declared(found[1]) if found[1] else (set(), set())
    for field, optional in re.findall(r"^  (\w+)(\??):", found[2], re.MULTILINE):
        (may if optional else must).add(field)
    return must, may


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, dict[str, Any]]]:
    """(interface, header) of every kind of payload, made of phantoms."""
    folder = tmp_path_factory.mktemp("payloads")
    out: list[tuple[str, dict[str, Any]]] = []
    still = Study.from_array(phantoms.ct_study().frames(0, 1)[0])
    large = Study.from_array(np.zeros((320, 480, 3), np.uint8))  # comes with a small picture of itself
    for study in (phantoms.ct_study(), phantoms.clip_study(), still, large):
        patches = prepare(study, NANO_BUDGET)
        mask = keep_mask(patches, 0.1)
        for given in (mask, None):
            out.append(("StudyHeader", pack_study(study, given, payload_path(folder, "study")).header))
        out.append(
            ("Header", pack_mask(mask, payload_path(folder, "mask"), content_id=study.content_id).header)
        )
        out.append(("PixelsHeader", pack_pixels(patches, payload_path(folder, "pixels")).header))
    assert {header.get("display") for _, header in out} == {"voxels", "pictures", None}
    return out


def test_headers_have_the_names_the_script_is_told(sent: list[tuple[str, dict[str, Any]]]) -> None:
    by_display: dict[str, set[str]] = {}
    for name, header in sent:
        must, may = declared(name)
        assert must <= set(header), sorted(must - set(header))
        assert set(header) <= must | may, sorted(set(header) - must - may)
        if "display" in header:
            by_display.setdefault(header["display"], set()).update(header)
        if "mask" in header:
            assert set(header["mask"]) == declared("MaskHeader")[0]
        for spec in header["arrays"].values():
            assert set(spec) == declared("ArraySpec")[0]
        for plane in header.get("planes", ()):
            assert set(plane) == declared("Plane")[0]
    # What may be there is there for one kind of display at least: no name is a leftover.
    assert declared("StudyHeader")[1] <= set().union(*by_display.values())


@pytest.mark.parametrize(
    ("interface", "model"), [("State", ViewerState), ("ModelFacts", ModelFacts), ("Value", ViewerValue)]
)
def test_messages_have_the_fields_of_their_models(interface: str, model: Any) -> None:
    must, may = declared(interface)
    assert must | may == set(model.model_fields)


def need_tsc() -> Path:
    if not TSC.exists():
        pytest.skip("needs the type checker of the script (make lint installs it where npm is)")
    return TSC


def test_the_script_has_no_type_errors() -> None:
    done = subprocess.run([need_tsc(), "--project", ROOT / "tests" / "js"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_real_headers_are_of_the_declared_types(
    sent: list[tuple[str, dict[str, Any]]], tmp_path: Path
) -> None:
    """Every header as a literal of its interface: an unknown name or another type is an error of the checker."""
    tsc = need_tsc()
    lines = [
        f"import type {{ Header, PixelsHeader, StudyHeader, State }} from '{TYPES.with_suffix('').with_suffix('')}';"
    ]
    lines += [f"export const h{k}: {name} = {json.dumps(header)};" for k, (name, header) in enumerate(sent)]
    lines.append(f"export const s: State = {ViewerState(goto=3, model='m').model_dump_json()};")
    source = tmp_path / "sent.ts"
    flags = ["--noEmit", "--strict", "--skipLibCheck", "--module", "esnext", "--moduleResolution", "bundler"]
    source.write_text("\n".join(lines))
    done = subprocess.run([tsc, *flags, source], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    source.write_text("\n".join(lines).replace('"threshold": 0.1', '"threshold": "0.1"'))
    wrong = subprocess.run([tsc, *flags, source], capture_output=True, text=True)
    assert "not assignable to type 'number'" in wrong.stdout
