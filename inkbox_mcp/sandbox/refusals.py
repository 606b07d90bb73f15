"""Why a request is refused, and with which status."""

from typing import ClassVar


class Refusal(Exception):
    """A request that the API answers with `{"detail": …}` and this status."""

    status: ClassVar[int]

    def __init__(self, detail: str) -> None:
        """Keep the sentence that the answer carries."""
        super().__init__(detail)
        self.detail = detail


class BadRequest(Refusal):
    """400: a value that the field's type allows and its meaning does not."""

    status = 400


class Unauthorized(Refusal):
    """401: no API key, or one that is not an API key."""

    status = 401


class Forbidden(Refusal):
    """403: a valid key that may not do this."""

    status = 403


class NotFound(Refusal):
    """404: nothing by that name in this organisation."""

    status = 404


class Conflict(Refusal):
    """409: something else already has the name or the place."""

    status = 409


class Unavailable(Refusal):
    """503: bad luck; the same request may work the next time."""

    status = 503
