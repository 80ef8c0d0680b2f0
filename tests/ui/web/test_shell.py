"""The page's HTML on its way out: what is seen first stands first."""

from __future__ import annotations

from omnivmed.ui.web.shell import arranged

PAGE = (
    b'<html><head><script>window.gradio_config = {"head": "\\u003c/script>"};</script>'
    b"<script>window.gradio_api_info = {};</script><script type=module src=./assets/a.js></script></head>"
    b"<body><gradio-app></gradio-app></body></html>"
)


def test_the_picture_comes_before_the_description() -> None:
    whole = arranged(PAGE, b"<i>seen</i>")
    order = [
        b"assets/a.js",
        b"<i>seen</i>",
        b"window.gradio_config",
        b"window.gradio_api_info",
        b"<gradio-app>",
    ]
    places = [whole.index(part) for part in order]
    assert places == sorted(places)
    assert len(whole) == len(PAGE) + len(b"<i>seen</i>")  # nothing lost, nothing twice


def test_a_page_of_another_build_is_left_whole() -> None:
    assert arranged(b"<html>rendered by Node</html>", b"x") == b"<html>rendered by Node</html>"
    late = b"<body><gradio-app></gradio-app><script>window.gradio_config = {};</script></body>"
    assert arranged(late, b"x") == late.replace(b"<gradio-app", b"x<gradio-app", 1)
