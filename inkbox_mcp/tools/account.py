"""The account of the API key.

Sources: https://inkbox.ai/docs/api/whoami, and `Inkbox.get_signup_status` of the official SDK
"""

from functools import partial
from typing import Any, ClassVar, cast

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.paths import SIGNUP, WHOAMI
from inkbox_mcp.errors import NotFound
from inkbox_mcp.toolkit.operation import READ_ONLY, Also, Args, Result, operation
from inkbox_mcp.toolkit.sent import BooleanOrNull, IDOrNull, NumberOrNull, ObjectOrNull, SecondsOrNull, TextOrNull
from inkbox_mcp.tools.side_by_side import get_both

TOOLSET = None  # every choice of toolsets leaves it, because it shows what the server is limited to

MAX_RECIPIENTS = 50
"""The most allowed recipients that are shown."""

NO_API = "The Inkbox API is not at this URL. Tell the user to check INKBOX_BASE_URL, or --base-url."


class Whoami(Args):
    """No arguments."""


class Restrictions(Result):
    """What the agent of a key may do. Without `allowed_recipients` it may write to anybody."""

    also: ClassVar[Also] = {
        "max_sends_per_day": NumberOrNull,
        "allowed_recipients": list[str],
        "more_recipients": NumberOrNull,
        "can_receive": BooleanOrNull,
        "can_create_mailboxes": BooleanOrNull,
    }


class SignupStatus(Result):
    """The state of an agent that signed itself up."""

    restrictions: ObjectOrNull = None


class KeyHolder(Result):
    """The owner of an API key. Times are seconds since 1970, or ISO 8601."""

    also: ClassVar[Also] = {
        "auth_type": TextOrNull,
        "key_id": IDOrNull,
        "label": TextOrNull,
        "description": TextOrNull,
        "creator_type": TextOrNull,
        "created_by": TextOrNull,
        "created_at": SecondsOrNull,
        "last_used_at": SecondsOrNull,
        "limited_to": list[str],
        "restrictions": Restrictions | None,
    }

    organization_id: TextOrNull = None
    auth_subtype: TextOrNull = None
    expires_at: SecondsOrNull = None


@operation(READ_ONLY, advice={NotFound: NO_API})
async def whoami(api: InkboxAPI, args: Whoami) -> KeyHolder:
    """Show the organization of the API key, its scope (admin or one agent), and when it expires (null: never)."""
    holder, signup = await get_both(partial(api.get, WHOAMI, KeyHolder), partial(api.get, SIGNUP, SignupStatus))
    added: dict[str, Any] = {"limited_to": api.limits} if api.limits else {}
    if signup and isinstance(signup.restrictions, dict):
        added["restrictions"] = _shown(signup.restrictions)
    return holder.model_copy(update=added)


def _shown(restrictions: dict[str, Any]) -> dict[str, Any]:
    """Return restrictions with the first recipients and the number of others, because there may be any number.

    An empty list means that all are allowed. It is left out, because a model would take it for the opposite.
    """
    recipients = restrictions.get("allowed_recipients")
    if not isinstance(recipients, list):
        return restrictions
    every = cast("list[object]", recipients)
    shown = {name: value for name, value in restrictions.items() if every or name != "allowed_recipients"}
    if len(every) > MAX_RECIPIENTS:
        shown |= {"allowed_recipients": every[:MAX_RECIPIENTS], "more_recipients": len(every) - MAX_RECIPIENTS}
    return shown
