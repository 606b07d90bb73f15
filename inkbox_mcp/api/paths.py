"""The paths of the Inkbox API."""

from collections.abc import Sequence
from typing import Self
from urllib.parse import quote, urlencode


class Path(str):
    """A path of the API. Its template has no names in it, so that traces and metrics may show it.

    Attributes:
        template: such as `/api/v1/mail/mailboxes/{}`.
    """

    __slots__ = ("template",)
    template: str

    def __new__(cls, path: str, template: str | None = None) -> Self:
        """Make a path; the template defaults to the path itself."""
        made = super().__new__(cls, path)
        made.template = template or path
        return made

    def where(self, **query: str | int | bool | Sequence[str] | None) -> "Path":
        """Return this path with a query. None omits a parameter, a list repeats it."""
        given = {name: _written(value) for name, value in query.items() if value is not None}
        return Path(f"{self}?{urlencode(given, doseq=True)}" if given else self, self.template)


MAILBOXES = Path("/api/v1/mail/mailboxes")
IDENTITIES = Path("/api/v1/identities")
WEBHOOKS = Path("/api/v1/webhooks/subscriptions")
WHOAMI = Path("/api/whoami")
SIGNUP = Path("/api/v1/agent-signup/status")
SEND_LOOKUP = Path("/api/v1/message-sends/lookup")


def path(resource: Path, *segments: str) -> Path:
    """Join a resource's path and further segments; a name can never leave its segment.

    Args:
        resource: such as `IDENTITIES`, or a path below it.
        segments: names from arguments, and fixed words of the API as `Path`, such as `Path("messages/search")`.
    """
    template = [segment.template if isinstance(segment, Path) else "{}" for segment in segments]
    full = [segment if isinstance(segment, Path) else _escaped(segment) for segment in segments]
    return Path("/".join([resource, *full]), "/".join([resource.template, *template]))


def _written(value: str | int | bool | Sequence[str]) -> str | int | Sequence[str]:
    return str(value).lower() if isinstance(value, bool) else value


def _escaped(name: str) -> str:
    escaped = quote(name, safe="")
    # HTTP libraries resolve "." and ".." before they send.
    return escaped.replace(".", "%2E") if escaped in {".", ".."} else escaped
