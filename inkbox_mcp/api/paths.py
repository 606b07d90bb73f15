"""Where things are in the Inkbox API."""

from collections.abc import Sequence
from typing import Self
from urllib.parse import quote, urlencode


class Path(str):
    """A path of the API, and the same without the names in it, which is what traces and metrics may tell.

    Attributes:
        template: such as `/api/v1/mail/mailboxes/{}`.
    """

    __slots__ = ("template",)
    template: str

    def __new__(cls, path: str, template: str | None = None) -> Self:
        """Make a path; one without a template is its own."""
        made = super().__new__(cls, path)
        made.template = template or path
        return made

    def where(self, **query: str | int | bool | Sequence[str] | None) -> "Path":
        """Return this path with a query; None leaves a name out, and a list repeats it."""
        given = {name: _written(value) for name, value in query.items() if value is not None}
        return Path(f"{self}?{urlencode(given, doseq=True)}" if given else self, self.template)


MAILBOXES = Path("/api/v1/mail/mailboxes")
IDENTITIES = Path("/api/v1/identities")
WEBHOOKS = Path("/api/v1/webhooks/subscriptions")
WHOAMI = Path("/api/whoami")


def path(resource: Path, *segments: str) -> Path:
    """Join a resource's path and what is below it; a name can never leave its segment.

    Args:
        resource: such as `IDENTITIES`.
        segments: names that arguments hold, and words of the API as `Path`, one or several (`messages/search`).
    """
    template = [segment.template if isinstance(segment, Path) else "{}" for segment in segments]
    full = [segment if isinstance(segment, Path) else _escaped(segment) for segment in segments]
    return Path("/".join([resource, *full]), "/".join([resource, *template]))


def _written(value: str | int | bool | Sequence[str]) -> str | int | Sequence[str]:
    return str(value).lower() if isinstance(value, bool) else value


def _escaped(name: str) -> str:
    escaped = quote(name, safe="")
    # Dots alone would lead up; HTTP libraries resolve them before they send.
    return escaped.replace(".", "%2E") if escaped in {".", ".."} else escaped
