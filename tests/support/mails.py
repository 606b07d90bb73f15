"""Written mails, with the codes that are in them.

A file has headers (Subject, Code, Format), a blank line and the body. Code is repeated for several codes, and "none" if
there is none; Format is "html" if the body is HTML.
"""

from dataclasses import dataclass
from pathlib import Path

from inkbox_mcp.mail.body import Body, read_body

MAILS = Path(__file__).parent.parent / "mail"


@dataclass(frozen=True)
class WrittenMail:
    """A mail of the corpus."""

    name: str
    subject: str
    body: str
    is_html: bool
    codes: frozenset[str]

    def read(self) -> Body:
        """Read its body as a tool does."""
        return read_body(None if self.is_html else self.body, self.body if self.is_html else None, self.subject)


def written_mails(folder: str) -> list[WrittenMail]:
    """Read the mails of `tests/mail/corpus` or `tests/mail/held_out`."""
    return [_mail(path) for path in sorted((MAILS / folder).glob("*.mail"))]


def _mail(path: Path) -> WrittenMail:
    head, _, body = path.read_text(encoding="utf-8").partition("\n\n")
    headers = [(name, value) for name, _, value in (line.partition(": ") for line in head.split("\n"))]
    assert {name for name, _ in headers} <= {"Subject", "Code", "Format"}, path
    codes = frozenset(value for name, value in headers if name == "Code")
    assert codes, path
    return WrittenMail(path.stem, dict(headers)["Subject"], body, ("Format", "html") in headers, codes - {"none"})
