"""The tools for webhook subscriptions: URLs that mail events are sent to.

Source: https://inkbox.ai/docs/api/webhooks
"""

from contextlib import suppress
from typing import Annotated, Any, ClassVar, cast
from urllib.parse import urlsplit

from pydantic import FailFast, Field, model_validator

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.paths import MAILBOXES, WEBHOOKS, path
from inkbox_mcp.api.responses import parse
from inkbox_mcp.errors import Conflict, InvalidArguments, NotFound, OutcomeUnknown
from inkbox_mcp.toolkit.fields import ListItem, ResourceID, WebhookURL
from inkbox_mcp.toolkit.operation import ADDITIVE, DESTRUCTIVE, READ_ONLY, Also, Args, Result, operation
from inkbox_mcp.toolkit.sent import ID, BooleanOrNull, IDOrNull, ObjectOrNull, TextOrNull, TimeOrNull
from inkbox_mcp.tools.identity_generation.mailboxes import Mailbox
from inkbox_mcp.tools.mailboxes import BY_ADDRESS, NO_MAILBOX, Address, near_mailbox

TOOLSET = "webhooks"

KEY_LOST = (
    "The answer that showed the signing_key was lost, and the key is shown only once. To have a key, call "
    "delete_webhook and create_webhook again."
)
A_FIELD = "A webhook is a field of its mailbox here. Next: call "


class Webhook(Result):
    """A subscription as the API returns it."""

    also: ClassVar[Also] = {
        "organization_id": TextOrNull,
        "mailbox_id": IDOrNull,
        "phone_number_id": IDOrNull,
        "agent_identity_id": IDOrNull,
        "owner_identity_id": IDOrNull,
        "status": TextOrNull,
        "context_config": ObjectOrNull,
        "has_auth_token": BooleanOrNull,
        "created_at": TimeOrNull,
        "updated_at": TimeOrNull,
    }

    id: ID
    url: str
    event_types: Annotated[list[str], FailFast()]

    @model_validator(mode="before")
    @classmethod
    def _drop_bearer_token(cls, data: Any) -> Any:
        """Remove the token of deliveries, which callers must not see."""
        if not isinstance(data, dict):
            return data
        return {name: value for name, value in cast("dict[str, Any]", data).items() if name != "auth_token"}


class CreatedWebhook(Webhook):
    """A new subscription, with the identity's signing key if it is the identity's first."""

    also: ClassVar[Also] = {**Webhook.also, "signing_key": TextOrNull}


class WebhookList(Result):
    subscriptions: Annotated[list[Webhook], FailFast()]


class ListWebhooks(Args):
    invented: ClassVar = {
        **BY_ADDRESS,
        **dict.fromkeys(
            ("limit", "cursor", "details", "event_types", "status", "webhook_url", "webhook_id"),
            "it always shows all webhooks of a mailbox",
        ),
    }

    email_address: Address


@operation(
    READ_ONLY,
    moved=f"{A_FIELD}get_mailbox with email_address to see it.",
    lookups={NotFound: near_mailbox},
    advice={NotFound: NO_MAILBOX},
)
async def list_webhooks(api: InkboxAPI, args: ListWebhooks) -> WebhookList:
    """List a mailbox's webhook subscriptions: where its mail events go. create_webhook adds one."""
    return await _webhooks_of(api, await api.get(path(MAILBOXES, args.email_address), Mailbox))


class CreateWebhook(Args):
    invented: ClassVar = {
        **BY_ADDRESS,
        "display_name": "a webhook has no name",
        **dict.fromkeys(("signing_key", "secret"), "Inkbox chooses the key, and the result shows it"),
    }

    email_address: Address
    webhook_url: Annotated[WebhookURL, Field(description="Public https URL, up to 2048 characters.")]
    event_types: Annotated[
        list[ListItem] | None,
        Field(
            max_length=20, description="message.received (default), .sent, .forwarded, .delivered, .bounced, .failed"
        ),
    ] = None


@operation(
    ADDITIVE,
    moved=f"{A_FIELD}update_mailbox with email_address and webhook_url.",
    changes=("email_address",),
    confirm="Send the mail events of {email_address} to {webhook_url}?",
    lookups={NotFound: near_mailbox},
    advice={
        NotFound: NO_MAILBOX,
        Conflict: "The mailbox has a webhook for these events already. Next: call list_webhooks with email_address.",
        OutcomeUnknown: "Next: call list_webhooks with email_address to see whether it worked.",
    },
)
async def create_webhook(api: InkboxAPI, args: CreateWebhook) -> CreatedWebhook:
    """Have a mailbox's events posted to a URL; list_webhooks shows it. What exists already is refused.

    A signing_key is shown only here: give it to the user.
    """
    mailbox = await api.get(path(MAILBOXES, args.email_address), Mailbox)
    event_types = args.event_types or ["message.received"]
    wanted = _normalized(args.webhook_url, event_types)

    async def find() -> CreatedWebhook | None:
        webhooks = await _webhooks_of(api, mailbox)
        alike = [one for one in webhooks.subscriptions if _normalized(one.url, one.event_types) == wanted]
        found = max(alike, key=lambda webhook: str(webhook.sent("created_at")), default=None)
        return found and parse(found.model_dump(exclude_unset=True) | {"note": KEY_LOST}, CreatedWebhook)

    body = {"mailbox_id": mailbox.id, "url": args.webhook_url, "event_types": event_types}
    return await api.create(WEBHOOKS, body, CreatedWebhook, find, unique=False)


def _normalized(url: str, event_types: list[str]) -> tuple[str, set[str]]:
    """Return a normal form of a subscription, the same for equivalent ones."""
    with suppress(ValueError):  # a URL from the API may be invalid
        parts = urlsplit(url)
        url = parts._replace(netloc=parts.netloc.lower().removesuffix(":443"), path=parts.path or "/").geturl()
    return url, set(event_types)


class DeleteWebhook(Args):
    invented: ClassVar = {
        **BY_ADDRESS,
        "webhook_url": "to find the webhook_id of a URL, call list_webhooks with email_address",
    }

    email_address: Address
    webhook_id: Annotated[
        ResourceID, Field(description="The id of the webhook, a UUID. create_webhook and list_webhooks show it.")
    ]


class DeletedWebhook(Result):
    deleted: bool
    webhook_id: str


@operation(
    DESTRUCTIVE,
    moved=f'{A_FIELD}update_mailbox with email_address, and "none" as webhook_url.',
    changes=("email_address",),
    confirm="Delete the webhook {webhook_id} of {email_address}? It will get no more mail events.",
    advice={
        NotFound: f"{NO_MAILBOX} The webhook may be deleted already: call list_webhooks with email_address.",
        OutcomeUnknown: "Next: call list_webhooks with email_address; repeating is safe.",
    },
)
async def delete_webhook(api: InkboxAPI, args: DeleteWebhook) -> DeletedWebhook:
    """Delete a webhook subscription: its URL gets no more mail events. list_webhooks shows its id."""
    webhooks = await _webhooks_of(api, await api.get(path(MAILBOXES, args.email_address), Mailbox))
    if args.webhook_id not in {webhook.id for webhook in webhooks.subscriptions}:
        raise InvalidArguments("the mailbox has no such webhook.").advised(
            "Nothing was sent. Next: call list_webhooks with email_address."
        )
    await api.delete(path(WEBHOOKS, args.webhook_id))
    return DeletedWebhook(deleted=True, webhook_id=args.webhook_id)


async def _webhooks_of(api: InkboxAPI, mailbox: Mailbox) -> WebhookList:
    """Return a mailbox's webhooks, which the API filters by the mailbox's id."""
    return await api.get(WEBHOOKS.where(mailbox_id=mailbox.id), WebhookList)
