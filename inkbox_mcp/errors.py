"""The errors of a call, with advice for the model that reads them.

    InkboxError
    ├── InvalidArguments        the call's arguments break the tool's rules
    ├── KeyReused               the idempotency key stands for another message
    ├── NotAllowed              the operator's limits
    ├── NoConsent               the human was asked
    │   ├── Declined            and the answer was not a yes
    │   ├── Cancelled           and the question was closed without an answer
    │   └── Unanswered          and nobody answered in time
    ├── CannotAsk               the human must be asked, and the client cannot ask
    ├── NotConfigured           no API key
    ├── Unreachable             no answer, and nothing can have changed: safe to repeat
    ├── TimedOut                what was waited for did not happen in time
    ├── TooManyWaits            the caller has as many waiting calls as it may have
    ├── CallerLeft              nobody waits for the answer any more
    ├── OutcomeUnknown          a change was sent and no answer came back
    ├── UnexpectedResponse      the answer is not what the API promises
    │   ├── TooLarge            more than this server takes
    │   └── NotFetched          a file is where this server does not look
    ├── ResultTooLarge          more than a result may have
    ├── NotSaved                a file could not be written
    ├── NotOffered              the operator has switched the tool off
    ├── OperationMoved          another operation does it in this organization's API generation
    └── APIError                the API refused, with a status and a reason
        ├── Unauthorized        401
        ├── Forbidden           403
        ├── NotFound            404
        ├── Conflict            409
        ├── Invalid             422
        ├── RateLimited         429
        │   ├── OverLimit       this server's own limit, without asking the API
        │   └── TooManyRecipients  its limit of recipients in an hour, too
        ├── Unavailable         503
        └── ServerError         any other 5xx

Each class has advice for its reader, a language model with one chance to do the right thing next. An operation may have
better advice for the errors it knows; see `inkbox_mcp.toolkit.operation.operation`.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, ClassVar, Self, cast

from inkbox_mcp.text import quote_detail

NOT_OFFERED_HERE = "This server does not offer the tool for it: tell the user."

About = Callable[[str], str]
"""Removes what names tools that the reader cannot call."""


class InkboxError(Exception):
    """A failed call, described for the model that made it.

    Attributes:
        code: the machine-readable name of this kind of error.
        advice: what to do next, in one or two sentences.
        retryable: whether the same call may succeed later.
        is_tempting: whether a reader may want to repeat the same call, although it cannot succeed.
        retry_after: seconds to wait before that; None if the API did not say.
        status: the HTTP status of the API's answer; None if there was none.
    """

    code: ClassVar[str] = "error"
    advice: ClassVar[str] = ""
    retryable: bool = False
    is_tempting: bool = False

    def __init__(self, what: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(what)
        self.status = status
        self.retry_after = retry_after
        self.looked_up: str | None = None

    def advised(self, looked_up: str) -> Self:
        """Set advice for this very case, which has priority over general advice, and return the error."""
        self.looked_up = looked_up
        return self

    def explain(self, tool: str, advice: str | None = None, about: About = str) -> str:
        """Describe what failed, why, what to do next, and whether trying again helps if that is not obvious.

        Args:
            tool: the name of the called tool.
            advice: the operation's advice; None for the advice of the error's class.
            about: removes what names tools that the reader cannot call.

        Returns:
            One paragraph of plain text.
        """
        advice = _offered(self.looked_up or advice or self.advice, about)
        parts = [f"{tool} failed: {self._what(about)}", advice, self._retry_sentence()]
        return " ".join(part for part in parts if part)

    def _what(self, _: About, /) -> str:
        """Return what failed and why."""
        return str(self)

    def _retry_sentence(self) -> str:
        if self.retry_after is not None:
            return f"Try again after {self.retry_after:g} seconds."
        if self.retryable:
            return "Trying again may help."
        return "Trying again with the same arguments will not help." if self.is_tempting else ""


class InvalidArguments(InkboxError):
    """The call's arguments break the tool's rules; nothing was sent.

    Args:
        what: is wrong, or a function that writes it. The function must apply its argument to text that names tools.
    """

    code = "invalid_arguments"
    advice = "Nothing was sent. Correct the arguments and call again."

    def __init__(self, what: str | Callable[[About], str]) -> None:
        super().__init__(what if isinstance(what, str) else what(str))
        self._write = what

    def _what(self, about: About, /) -> str:
        return str(self) if isinstance(self._write, str) else self._write(about)


class KeyReused(InkboxError):
    """The idempotency key was used for another message; nothing was sent."""

    code = "idempotency_key_reused"
    advice = (
        "Nothing was sent. If this is a new message, call again with a new idempotency_key, or without one. "
        "If it is the same one, pass the same arguments as before."
    )

    def __init__(self) -> None:
        super().__init__("this idempotency_key was used for another message of this mailbox.")


class NotAllowed(InkboxError):
    """The operator's limits do not allow the call; nothing was sent.

    Attributes:
        argument: the thing that is not allowed, mostly an argument's name.
        allowed: what is allowed, mostly patterns.
    """

    code = "not_allowed"
    advice = "Nothing was sent. Stay within what is allowed, or tell the user, who can change the server's options."

    def __init__(self, argument: str, allowed: str) -> None:
        super().__init__(f"{argument} is outside what this server's operator allows ({allowed}).")
        self.argument, self.allowed = argument, allowed


class NoConsent(InkboxError):
    """The human was asked and did not agree; nothing was sent."""

    advice = "Nothing was changed. Do not call again unless the user asks for it."

    def _retry_sentence(self) -> str:
        return ""


class Declined(NoConsent):
    """The answer to the question was not a yes; some clients that run without a person give it by themselves."""

    code = "declined"

    def __init__(
        self,
        what: str = (
            "the question to the user was answered, and the answer was not a yes. "
            "It came from the person, or from a client that runs without one."
        ),
    ) -> None:
        super().__init__(what)


class Cancelled(NoConsent):
    """The question was closed without an answer; clients that run without a person do that by themselves.

    Args:
        required: whether the operator requires a human's consent.
    """

    code = "cancelled"

    def __init__(self, *, required: bool) -> None:
        super().__init__(
            "the client closed the question to the user without an answer. "
            "It may run without a person, or the person closed the question."
        )
        remedy = (
            "that this server does it only after a yes, for which a person is needed at the client."
            if required
            else "that, where no person can answer, the operator can start this server with --confirm never. "
            "That is the operator's decision; do not do it yourself."
        )
        self.advised(f"{self.advice} Tell the user {remedy}")


class Unanswered(NoConsent):
    """Nobody answered the question in time."""

    code = "unanswered"

    def __init__(self, timeout: float) -> None:
        super().__init__(f"the user was asked to confirm, and nobody answered for {timeout:g} seconds.")


class CannotAsk(InkboxError):
    """The operator requires a human's consent, and the client cannot ask; nothing was sent."""

    code = "cannot_ask"
    advice = "Nothing was changed. Tell the user to do it in the Inkbox console, or to use a client that can ask."

    def __init__(self) -> None:
        super().__init__("this server must ask the user first, but this client cannot ask (no form elicitation).")


class NotConfigured(InkboxError):
    """The server lacks a setting that it needs, mostly the API key; nothing was sent."""

    code = "not_configured"
    advice = (
        "Tell the user: create a key in the Inkbox console, set it as INKBOX_API_KEY in this MCP server's env block "
        '(or as "api_key = ..." in ~/.inkbox/config), and restart the server; '
        "or start it with --sandbox to try it without an account."
    )

    def __init__(self, what: str = "this server has no Inkbox API key.") -> None:
        super().__init__(what)


class Unreachable(InkboxError):
    """No answer came, and nothing can have changed: the call may be repeated."""

    code = "unreachable"
    retryable = True
    advice = "Nothing was changed. If it keeps failing, tell the user that the Inkbox API cannot be reached."


class TimedOut(InkboxError):
    """A call waited for something as long as it may, and has nothing to show for it."""

    code = "timed_out"
    retryable = True
    advice = "Call again to go on waiting."

    def __init__(self, seconds: float) -> None:
        super().__init__(f"nothing came of it in {seconds:g} seconds.")


class TooManyWaits(InkboxError):
    """The caller has as many calls that wait as the operator allows; this one did not wait at all."""

    code = "too_many_waits"
    retryable = True

    def __init__(self, most: int, *, shared: bool) -> None:
        whose = "this server's callers together have" if shared else "you have"
        calls = "call that waits" if most == 1 else "calls that wait"
        super().__init__(f"{whose} {most} {calls}, the most that this server allows at the same time.")
        self.looked_up = (
            "Nothing was looked up. Wait for fewer mailboxes at the same time, or tell the user."
            if shared
            else "Nothing was looked up. Use what the calls that wait already answer, or wait for fewer mailboxes at "
            "the same time."
        )

    def _retry_sentence(self) -> str:
        return "Try again when one of them has ended."


class CallerLeft(InkboxError):
    """The client of a call that waits has closed its connection, so nobody gets this answer."""

    code = "cancelled"

    def __init__(self) -> None:
        super().__init__("the client has closed the connection.")


class OutcomeUnknown(InkboxError):
    """A change was sent and no answer came back: it may or may not have happened.

    Attributes:
        is_safe_to_repeat: whether the advice is a repetition that cannot make the change twice.
    """

    code = "outcome_unknown"
    advice = "The change may or may not have been made. Check before repeating the call."
    is_safe_to_repeat = False

    def _retry_sentence(self) -> str:
        return "" if self.is_safe_to_repeat else "Try again only if it did not work."


class UnexpectedResponse(InkboxError):
    """The answer is not what the API promises: HTML, broken JSON, another shape, too large."""

    code = "unexpected_response"
    retryable = True
    advice = "If it keeps failing, tell the user: the base URL may be wrong, or a proxy may be in the way."


class TooLarge(UnexpectedResponse):
    """The answer is larger than this server reads; only its status is known."""

    retryable = False
    is_tempting = True
    advice = "Tell the user that Inkbox's answer is too large for this server."

    def __init__(self, limit: int, *, status: int) -> None:
        super().__init__(f"the answer is larger than {limit // 1024**2} MB.", status=status)

    @property
    def of_success(self) -> bool:
        """Whether the status says that the request succeeded."""
        return 200 <= (self.status or 0) < 300


class NotFetched(UnexpectedResponse):
    """The API names a place of a file that this server does not look at, or the file is not there.

    Args:
        why: a clause about the place, without its URL, which is a secret.
        status: of the answer, if there was one.
    """

    code = "not_fetched"
    retryable = False
    is_tempting = True
    advice = "Tell the user, who can open the file in the Inkbox console."

    def __init__(self, why: str, *, status: int | None = None) -> None:
        super().__init__(f"Inkbox sent a URL of the file, and {why}.", status=status)


class NotSaved(InkboxError):
    """A file could not be written; nothing is left of it.

    Args:
        why: a clause, such as "the disk is full".
    """

    code = "not_saved"
    advice = "Tell the user to look at the folder that this server was started with (--attachments-dir)."

    def __init__(self, why: str) -> None:
        super().__init__(f"the file could not be saved: {why}.")


class ResultTooLarge(InkboxError):
    """The result is larger than results may be; nothing was changed."""

    code = "result_too_large"
    advice = "Tell the user, who can look at it in the Inkbox console."

    def __init__(self, size: int, cap: int) -> None:
        super().__init__(f"the result has {size:,} bytes, and this server passes on at most {cap:,}.")


class NotOffered(InkboxError):
    """The tool exists, and the operator has switched it off; nothing was sent."""

    code = "not_offered"

    def __init__(self, why: str) -> None:
        super().__init__(f"{why}; nothing was changed.")
        self.looked_up = "The operator of this server can change that. Tell the user."


class OperationMoved(InkboxError):
    """The organization is on the API generation in which another operation does this; nothing was changed."""

    code = "operation_moved"

    def __init__(self, now: str, status: int | None = None) -> None:
        super().__init__("this organization's Inkbox has no such operation; nothing was changed.", status=status)
        self.looked_up = now


class APIError(InkboxError):
    """The API refused the call, with a status and, mostly, a reason.

    Attributes:
        detail: the API's reason as it sent it: a string, FastAPI's list of field errors, an object, or None.
    """

    code = "api_error"
    advice = "Tell the user what the API answered."

    def __init__(self, status: int, detail: object = None, retry_after: float | None = None) -> None:
        reason = quote_detail(detail)
        what = f"Inkbox answered {status_line(status)}{f': {reason}' if reason else '.'}"
        super().__init__(what, status=status, retry_after=retry_after)
        self.detail = detail

    @property
    def members(self) -> dict[str, object]:
        """The members of the API's reason; none if it is no object."""
        detail: object = self.detail
        listed = cast("list[object]", detail) if isinstance(detail, list) else [detail]
        objects = [cast("dict[str, object]", each) for each in listed if isinstance(each, dict)]
        return objects[0] if objects else {}

    @property
    def reason(self) -> str | None:
        """The API's name of the reason, in each of the places where it may be."""
        names = (self.members.get(name) for name in ("error", "code"))
        return next((name for name in names if isinstance(name, str)), None)


class Unauthorized(APIError):
    """401: the API key is missing, invalid, expired or revoked."""

    code = "unauthorized"
    is_tempting = True
    advice = (
        "The API key is invalid, expired or revoked. Tell the user to put a valid key into INKBOX_API_KEY "
        "(or ~/.inkbox/config) and to restart this server."
    )


class Forbidden(APIError):
    """403: the key has no organization, or only an admin-scoped key may do this."""

    code = "forbidden"
    is_tempting = True
    advice = (
        "The API key may not do this: it belongs to no organization, or it is scoped to one agent and the call "
        "needs an admin-scoped key. Tell the user."
    )


class NotFound(APIError):
    """404: the organization has no such object.

    Attributes:
        after_lost: whether an earlier attempt lost its answer, and so may have deleted the object.
    """

    after_lost = False
    code = "not_found"
    advice = "Check the name against what exists in your organization."


class Conflict(APIError):
    """409: the change contradicts what already exists.

    Attributes:
        repeated: whether an earlier attempt reached the API, and so may have made the conflicting object.
    """

    repeated = False
    code = "conflict"
    advice = "Look at what already exists before you choose other arguments."


class Invalid(APIError):
    """422: the API does not accept a field's value."""

    code = "invalid"
    advice = "Correct the fields that the API named and call again."


class RateLimited(APIError):
    """429: too many calls; `retry_after` has the seconds to wait, if the API sent them."""

    code = "rate_limited"
    retryable = True
    advice = "There were too many calls; make fewer."


class OverLimit(RateLimited):
    """The caller exceeds the operator's own rate limit; nothing was sent."""

    advice = "Nothing was sent. Make fewer calls."

    def __init__(self, rate: str, wait: float) -> None:
        InkboxError.__init__(self, f"this server's limit of {rate} per caller was reached.", retry_after=wait)
        self.detail = None


class TooManyRecipients(RateLimited):
    """The operator's limit of recipients in an hour does not allow a message; nothing was sent.

    Args:
        number: of the message's recipients.
        most: that an Inkbox key may have in an hour.
        wait: seconds until the message may be sent; None if it never may, because it has more than `most`.
    """

    code = "too_many_recipients"

    def __init__(self, number: int, most: int, wait: float | None) -> None:
        has = f"the message has {number} recipient{'' if number == 1 else 's'}"
        if wait is None:
            what = f"{has}, and this server allows {most} in an hour, so it can never be sent."
            remedy = "who can ask the operator of this server for more"
            self.retryable, self.is_tempting = False, True
        else:
            what = f"{has}, and fewer are left of the {most} that this server allows in an hour."
            remedy = "who can wait, or ask the operator of this server for more"
        InkboxError.__init__(self, what, retry_after=wait)
        self.detail = None
        self.looked_up = f"Nothing was sent. Tell the user, {remedy}; do not split the message."


class Unavailable(APIError):
    """503: the API cannot do this now; nothing was changed."""

    code = "unavailable"
    retryable = True
    advice = "Inkbox could not do it just now; nothing was changed."


class ServerError(APIError):
    """Any other 5xx: a fault of the API."""

    code = "server_error"
    retryable = True
    advice = "The fault is on Inkbox's side. If it was a change, check whether it was made before you repeat it."


_BY_STATUS: dict[int, type[APIError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    422: Invalid,
    429: RateLimited,
    503: Unavailable,
}


def api_error(status: int, detail: object = None, retry_after: float | None = None) -> APIError:
    """Return the error for a status that is not a success."""
    kind = _BY_STATUS.get(status, ServerError if status >= HTTPStatus.INTERNAL_SERVER_ERROR else APIError)
    return kind(status, detail, retry_after)


def _offered(advice: str, about: About) -> str:
    """Return advice about tools that the reader can call; without such a tool, the user can help."""
    left = about(advice)
    return left if left == advice or "call " in left else f"{left} {NOT_OFFERED_HERE}".lstrip()


def status_line(status: int) -> str:
    """Return a status with its name, such as "404 Not Found"."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def machine_fields(error: InkboxError) -> dict[str, Any]:
    """Return the fields of an error for programs: code, status, retryable, retry_after."""
    fields = {
        "code": error.code,
        "status": error.status,
        "retryable": error.retryable,
        "retry_after": error.retry_after,
    }
    return {name: value for name, value in fields.items() if value is not None}
