"""The viewer's script and component, without a browser."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from omnivmed.ui.canvas import viewer
from omnivmed.ui.canvas.viewer import EVENTS, MODULES, STATIC, StudyViewer, ViewerValue, script, show

JS_TESTS = sorted((Path(__file__).parents[2] / "js").glob("*.test.mjs"))


def need_node() -> str:
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs Node.js for the viewer's pure functions")
    return node


def test_pure_functions() -> None:
    done = subprocess.run([need_node(), "--test", *map(str, JS_TESTS)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:]


def test_joined_script_parses(tmp_path: Path) -> None:
    path = tmp_path / "viewer.cjs"
    path.write_text(script())
    done = subprocess.run([need_node(), "--check", str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_module_is_joined_once_and_small() -> None:
    assert sorted(MODULES) == sorted(p.name for p in STATIC.glob("*.js"))
    for path in STATIC.glob("*.js"):
        assert len(path.read_text().splitlines()) < 400, path.name
    assert not re.search(r"^(import|export) ", script(), re.MULTILINE)
    assert "@viewer.css@" not in script()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import * as lut from './lut.js';\n", "not joined"),
        ("const x = 1;\nexport { x };\n", "not joined: export"),
        ("export default 3;\n", "not joined: export default"),
        ("import { Viewer } from './viewer.js';\n", "does not stand before"),
        ("import { a } from 'elsewhere';\n", "not joined"),
    ],
)
def test_what_the_joining_does_not_understand_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        viewer.joined("tokens.js", text)


def test_imports_over_several_lines_are_joined() -> None:
    made = viewer.joined("tokens.js", "import {\n  num,\n  say,\n} from './texts.js';\nexport const a = 1;\n")
    assert "const {\n  num,\n  say,\n} = modules['texts.js'];" in made
    assert "return { a };" in made


def test_no_outside_address_in_script_or_style() -> None:
    text = script().replace("http://www.w3.org/2000/svg", "")
    assert not re.search(
        r"(https?:)?//[a-z0-9-]+\.[a-z]{2,}", re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)
    )


def test_events_can_be_listened_to() -> None:
    import gradio as gr

    with gr.Blocks(analytics_enabled=False):
        component = StudyViewer()
        for name in EVENTS:
            getattr(component, name)(lambda: None)
        with pytest.raises(AttributeError):
            component.no_such_event  # noqa: B018


def test_value_is_addresses_and_settings_only(tmp_path: Path) -> None:
    path = tmp_path / "study-1.omv"
    value = show(study=path, role="answer", goto=3, goto_seq=7)
    assert isinstance(value, ViewerValue)
    assert value.study is not None
    assert value.study.path == str(path)
    assert value.mask is None
    assert (value.state.role, value.state.goto, value.state.goto_seq) == ("answer", 3, 7)
    with pytest.raises(ValueError, match="no_such_field"):
        show(study=path, no_such_field=1)
    with pytest.raises(ValueError, match="goto"):
        show(study=path, goto="third")


def test_documented_events_are_the_real_ones() -> None:
    assert viewer.__doc__ is not None
    for name in EVENTS:
        assert re.search(rf"^    {name} ", viewer.__doc__, re.MULTILINE), name
