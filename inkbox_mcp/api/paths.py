"""Where things are in the Inkbox API."""

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

    def where(self, **query: str) -> "Path":
        """Return this path with a query."""
        return Path(f"{self}?{urlencode(query)}", self.template)


MAILBOXES = Path("/api/v1/mail/mailboxes")
IDENTITIES = Path("/api/v1/identities")
WEBHOOKS = Path("/api/v1/webhooks/subscriptions")
WHOAMI = Path("/api/whoami")


def path(resource: Path, *segments: str) -> Path:
    """Join a resource's path and what is below it; a name can never leave its segment.

    Args:
        resource: such as `IDENTITIES`.
        segments: names that arguments hold, and words of the API as `Path`.
    """
    template = [segment.template if isinstance(segment, Path) else "{}" for segment in segments]
    full = [quote(segment, safe="") for segment in segments]
    return Path("/".join([resource, *full]), "/".join([resource, *template]))
