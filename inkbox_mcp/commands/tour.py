"""The calls of `inkbox-mcp demo`: a mailbox's whole life, then a code that comes by mail, and an answer to it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Check = Callable[[dict[str, Any]], bool]


@dataclass(frozen=True)
class Step:
    """One call of the tour.

    Attributes:
        says: what it is for.
        tool: the name of the tool.
        arguments: of the call; what an earlier step keeps stands in them in braces.
        error: the code of the error that is expected; None for a result.
        check: whether a result is the expected one.
        keeps: what later steps need of a result, by name.
        mail: options of `inkbox-mcp sandbox deliver`, for mail that comes from outside while the call waits.
    """

    says: str
    tool: str
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])
    error: str | None = None
    check: Check = lambda _: True
    keeps: Mapping[str, Callable[[dict[str, Any]], str]] = field(default_factory=dict[str, Any])
    mail: tuple[str, ...] = ()


ADDRESS = "sales.team@inkboxmail.com"
WEBHOOK = "https://example.com/inkbox-events"

OTHER = "support@inkboxmail.com"
SENDER = "hello@acme.example"
CODE = "482913"
LINK = "https://acme.example/confirm?token=7f3a9c"
MAIL = (
    *("--to", OTHER, "--from", SENDER, "--subject", "Confirm your address"),
    *("--text", f"Your code is {CODE}. Or confirm your address here: {LINK}"),
)


def _has_code_and_link(waited: dict[str, Any]) -> bool:
    """Whether the likeliest code and the first link are those of the mail."""
    message: dict[str, Any] = waited.get("message", {})
    codes, links = message.get("codes", []), message.get("links", [])
    return [code["value"] for code in codes[:1]] == [CODE] and [link["url"] for link in links[:1]] == [LINK]


LIFE = (
    Step(
        "Give the agent identity sales-agent a mailbox.",
        "create_mailbox",
        {"agent_handle": "@sales-agent", "display_name": "Sales", "email_local_part": "sales.team"},
        check=lambda mailbox: mailbox["email_address"] == ADDRESS,
    ),
    Step(
        "Once more? An identity has at most one mailbox, and the error says what to do.",
        "create_mailbox",
        {"agent_handle": "sales-agent"},
        error="conflict",
    ),
    Step("See what exists.", "list_mailboxes", check=lambda page: page["total"] == 1),
    Step(
        "Look at it; the part before the @ is enough.",
        "get_mailbox",
        {"email_address": "sales.team"},
        check=lambda mailbox: mailbox["display_name"] == "Sales",
    ),
    Step(
        "Rename it.",
        "update_mailbox",
        {"email_address": ADDRESS, "display_name": "Sales Team"},
        check=lambda mailbox: mailbox["display_name"] == "Sales Team",
    ),
    Step(
        "Have its events posted to a webhook.",
        "update_mailbox",
        {"email_address": ADDRESS, "webhook_url": WEBHOOK},
        check=lambda mailbox: mailbox["webhook_url"] == WEBHOOK,
    ),
    Step(
        "Null unsubscribes; the omitted name stays.",
        "update_mailbox",
        {"email_address": ADDRESS, "webhook_url": None},
        check=lambda mailbox: mailbox["webhook_url"] is None and mailbox["display_name"] == "Sales Team",
    ),
    Step("Delete it.", "delete_mailbox", {"email_address": ADDRESS}, check=lambda result: result["deleted"]),
    Step("It is gone.", "get_mailbox", {"email_address": ADDRESS}, error="not_found"),
)

SIGN_UP = (
    Step(
        "Give another agent a mailbox to sign up with.",
        "create_mailbox",
        {"agent_handle": "support-agent", "email_local_part": "support"},
        check=lambda mailbox: mailbox["email_address"] == OTHER,
    ),
    Step(
        "It signs up at acme.example, and waits for the code that comes by mail.",
        "wait_for_message",
        {"email_address": OTHER, "sender": "acme.example"},
        check=_has_code_and_link,
        keeps={
            "message": lambda waited: waited["message"]["id"],
            "thread": lambda waited: waited["message"]["thread_id"],
        },
        mail=MAIL,
    ),
)

ANSWER = "I have confirmed the address. Thank you!"

ANSWERS = (
    Step(
        "Answer the mail: to its sender, in its conversation.",
        "reply_to_message",
        {"email_address": OTHER, "message_id": "{message}", "text": ANSWER},
        check=lambda sent: sent["to"] == [SENDER] and "replayed" not in sent,
    ),
    Step(
        "Was it sent? An agent that is not sure calls again, and no second mail leaves.",
        "reply_to_message",
        {"email_address": OTHER, "message_id": "{message}", "text": ANSWER},
        check=lambda sent: sent["replayed"],
    ),
    Step(
        "Read the conversation.",
        "get_thread",
        {"email_address": OTHER, "thread_id": "{thread}"},
        check=lambda thread: len(thread["messages"]) == 2 and ANSWER in thread["messages"][1]["text"],
    ),
)

STEPS = (*LIFE, *SIGN_UP, *ANSWERS)
