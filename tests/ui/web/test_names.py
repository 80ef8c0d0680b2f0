"""No spelling of an upload's headers lets a client's file name through."""

from __future__ import annotations

import pytest

from omnivmed.ui.web.names import MultipartRewriter, OddUpload, boundary_of

NAME = b"Doe^Jane"


def rewritten(head: bytes, boundary: bytes = b"bound") -> bytes:
    body = b"--bound\r\n" + head + b"\r\n\r\ncontent\r\n--bound--\r\n"
    rewriter = MultipartRewriter(boundary)
    return rewriter.feed(body) + rewriter.end()


@pytest.mark.parametrize(
    "head",
    [
        b'Content-Disposition: form-data; name="files"; filename="Doe^Jane.dcm"',
        b'content-disposition: form-data; name="files"; filename="Doe^Jane"\r\nContent-Type: image/png',
        b'Content-Disposition: form-data; name="files"; filename="x"; filename*=UTF-8\'\'Doe%5EJane',
        b"Content-Disposition: form-data; name=\"files\"; filename*=UTF-8''Doe^Jane.dcm",
        b'Content-Disposition: form-data; name="files"; filename="a\\"Doe^Jane"',
    ],
)
def test_the_forms_that_clients_send_get_random_names(head: bytes) -> None:
    out = rewritten(head)
    assert NAME not in out
    assert b"Jane" not in out
    assert out.count(b'filename="') == 1
    assert b"content\r\n--bound--" in out


@pytest.mark.parametrize(
    "head",
    [
        b'Content-Disposition: form-data; name="files"; filename = "Doe^Jane"',
        b'Content-Disposition: form-data; name="files"; filename="a"; filename="Doe^Jane"',
        b'Content-Disposition: form-data; filename="Doe^Jane"; name="files"',
        b'Content-Disposition : form-data; name="files"; filename="Doe^Jane"',
        b'Content-Disposition: form-data; name="files"; filename*0="Doe"; filename*1="Jane"',
        b'Content-Disposition: form-data;\r\n name="files"; filename="Doe^Jane"',
        b'Content-Disposition: form-data; name="files"; filename=Doe^Jane',
        b'Content-Disposition: form-data; name="files"\r\nContent-Disposition: x; filename="Doe^Jane"',
        b'Content-Disposition: attachment; name="files"; filename="Doe^Jane"',
        b'Content-Type: image/png; name="Doe^Jane"\r\nX-Name: Doe^Jane',
        b"",
    ],
)
def test_every_other_spelling_is_refused(head: bytes) -> None:
    with pytest.raises(OddUpload):
        rewritten(head)


def test_a_part_that_only_another_parser_would_see_is_refused() -> None:
    with pytest.raises(OddUpload):
        MultipartRewriter(b"bound").feed(b'--bound \r\nContent-Disposition: form-data; filename="x"\r\n\r\n')


@pytest.mark.parametrize(
    ("kind", "boundary"),
    [
        (b"multipart/form-data; boundary=abc", b"abc"),
        (b'multipart/form-data; boundary="a b"', b"a b"),
        (b"multipart/form-data;boundary=----WebKitFormBoundaryX", b"----WebKitFormBoundaryX"),
        (b"multipart/form-data; charset=utf-8; boundary=abc", None),
        (b"multipart/form-data; boundary =abc", None),
        (b"multipart/form-data; boundary=abc; boundary=def", None),
        (b"multipart/mixed; boundary=abc", None),
        (b"application/octet-stream", None),
    ],
)
def test_boundaries(kind: bytes, boundary: bytes | None) -> None:
    scope = {"type": "http", "method": "POST", "path": "/upload", "headers": [(b"content-type", kind)]}
    assert boundary_of(scope) == boundary
