"""Files that a call brings with it."""

import base64

import pytest

from inkbox_mcp.toolkit.data_urls import MAX_DATA, data_file, is_data_url


@pytest.mark.parametrize(
    ("url", "name", "kind", "content"),
    [
        ("data:text/csv;name=report.csv;base64,YSxiCg==", "report.csv", "text/csv", b"a,b\n"),
        ("DATA:Text/CSV;Filename=report.csv;Base64,YSxiCg==", "report.csv", "text/csv", b"a,b\n"),
        ('data:text/csv; charset=utf-8; name="report.csv"; base64,YSxiCg==', "report.csv", "text/csv", b"a,b\n"),
        ("data:;name=report%20%C3%A9%2C.pdf;base64,", "report é,.pdf", "application/pdf", b""),
        ("data:;name=a;base64,AA==", "a", "application/octet-stream", b"\0"),
        ("data:text/plain;name=a=b.txt;base64,YQ%3D%3D", "a=b.txt", "text/plain", b"a"),
        ("data:image/svg+xml;name=日本.svg;base64,YSxi\r\n Cg==\n", "日本.svg", "image/svg+xml", b"a,b\n"),
        ("data:text/plain;name=a.txt;base64,+/+/", "a.txt", "text/plain", b"\xfb\xff\xbf"),
    ],
)
def test_a_url_has_a_name_a_type_and_a_content(url: str, name: str, kind: str, content: bytes) -> None:
    """The type is what the URL says, or else what the name says."""
    assert is_data_url(url)
    assert data_file(url) == (name, kind, content)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("data:", "base64"),
        ("data:,hello", "base64"),
        ("data:text/csv;name=a.csv,a", "base64"),
        ("data:text/csv;base64;name=a.csv,YQ==", "base64"),
        ("data:text/csv;base64,YQ==", "one name"),
        ("data:text/csv;name=;base64,YQ==", "empty"),
        ("data:text/csv;name=a.csv;filename=b.csv;base64,YQ==", "one name"),
        ("data:text/csv;name=%ff.csv;base64,YQ==", "not UTF-8"),
        ("data:text/csv;name=a%2Fb.csv;base64,YQ==", "has a name with one of"),
        ("data:text/csv;name=..%5Cb.csv;base64,YQ==", "has a name that begins"),
        ("data:text/csv;name=a%0D%0AX:b.csv;base64,YQ==", "hidden characters"),
        ("data:text/csv;name=a%E2%80%AEvsc.exe;base64,YQ==", "hidden characters"),
        (f"data:text/csv;name={'a' * 256};base64,YQ==", "longer than 255"),
        ("data:text;name=a.csv;base64,YQ==", "media type"),
        ("data:text/csv%0D%0AX:y;name=a.csv;base64,YQ==", "media type"),
        ("data:multipart/mixed;name=a.csv;base64,YQ==", "media type"),
        ("data:text/csv;name=a.csv;base64,YQ=", "broken or cut off"),
        ("data:text/csv;name=a.csv;base64,YQ", "broken or cut off"),
        ("data:text/csv;name=a.csv;base64,YQ==YQ==", "broken or cut off"),
        ("data:text/csv;name=a.csv;base64,a-_b", "broken or cut off"),
        ("data:text/csv;name=a.csv;base64,é", "broken or cut off"),
        ("data:text/csv;name=a.csv;base64,YQ==,", "broken or cut off"),
    ],
)
def test_another_url_is_refused(url: str, why: str) -> None:
    """Nothing is guessed: a file that is cut off would look like a whole one."""
    with pytest.raises(ValueError, match=why):
        data_file(url)


def test_the_limit_counts_the_bytes_of_the_file() -> None:
    """Base64 is a third longer."""
    head = "data:text/csv;name=a.csv;base64,"
    assert len(data_file(head + base64.b64encode(bytes(MAX_DATA)).decode()).content) == MAX_DATA
    with pytest.raises(ValueError, match="has 100,001 bytes, and a data: URL may have 100,000"):
        data_file(head + base64.b64encode(bytes(MAX_DATA + 1)).decode())
