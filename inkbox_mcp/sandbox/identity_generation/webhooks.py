"""`/api/v1/webhooks/subscriptions`: where events of a mailbox go to, for as long as it lives.

`mail.webhooks` delivers them.
"""

import json
import sqlite3
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

from fastapi import APIRouter, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from inkbox_mcp.sandbox import rows
from inkbox_mcp.sandbox.access import CurrentOrganization
from inkbox_mcp.sandbox.database import tick
from inkbox_mcp.sandbox.fields import Timestamp, WebhookURL, absent
from inkbox_mcp.sandbox.identity_generation.signing_keys import mint_signing_key
from inkbox_mcp.sandbox.mail.events import EventType
from inkbox_mcp.sandbox.problems import Conflict, NotFound, answers
from inkbox_mcp.sandbox.rows import Row

router = APIRouter(prefix="/api/v1/webhooks/subscriptions", tags=["webhooks"], responses=answers(401, 403, 503))

MAX_SUBSCRIPTIONS = 20
"""How many subscriptions a mailbox may have."""


def _distinct(values: list[EventType]) -> list[EventType]:
    if len(set(values)) < len(values):
        raise ValueError("Event types must be distinct")
    return values


EventTypes = Annotated[
    list[EventType], Field(min_length=1, json_schema_extra={"uniqueItems": True}), AfterValidator(_distinct)
]


class Subscription(BaseModel):
    """A webhook subscription of a mailbox."""

    id: UUID
    organization_id: str
    mailbox_id: UUID
    phone_number_id: None = None
    agent_identity_id: None = None
    owner_identity_id: UUID | None
    url: str
    event_types: list[EventType]
    status: Literal["active"] = "active"
    context_config: None = None
    has_auth_token: bool = False
    auth_token: None = None
    created_at: Timestamp
    updated_at: Timestamp


class CreatedSubscription(Subscription):
    """A new subscription, with the signing key of its identity if this is the first to need one."""

    signing_key: str | None


class Subscriptions(BaseModel):
    """What a list answers."""

    subscriptions: list[Subscription]


class SubscriptionFilter(BaseModel):
    """Which subscriptions to list: those that match all that is given."""

    model_config = ConfigDict(extra="forbid")

    mailbox_id: UUID | None = None
    url: str | None = None
    event_type: EventType | None = None


class SubscriptionCreate(BaseModel):
    """The body of a create."""

    model_config = ConfigDict(extra="forbid")

    mailbox_id: UUID
    url: WebhookURL
    event_types: EventTypes


class SubscriptionUpdate(BaseModel):
    """The body of an update: what is absent stays as it is, event types are replaced as a whole."""

    model_config = ConfigDict(extra="forbid")

    url: WebhookURL = Field(default_factory=absent)
    event_types: EventTypes = Field(default_factory=absent)


@router.post("", status_code=201, response_model=CreatedSubscription, responses=answers(400, 404, 409))
def create_webhook_subscription(organization: CurrentOrganization, body: SubscriptionCreate) -> Any:
    """Subscribe a URL to events of a mailbox."""
    new: Row = {**body.model_dump(mode="json"), "id": str(uuid4())}
    with organization.transaction() as connection:
        mailbox = rows.find_mailbox(connection, organization.id, body.mailbox_id)
        if mailbox["identity_id"] is None:
            raise Conflict("Mailbox has no agent identity")
        owner = rows.find_identity(connection, organization.id, UUID(mailbox["identity_id"]))
        _refuse_overlap(connection, organization.id, new)
        connection.execute(
            "INSERT INTO webhook_subscriptions VALUES (:id, :mailbox_id, :url, :event_types, :now, :now)",
            {**new, "event_types": json.dumps(new["event_types"]), "now": tick(connection)},
        )
        key = None if owner["signing_key_created_at"] else mint_signing_key(connection, owner)["signing_key"]
        return {**find_subscription(connection, organization.id, new["id"]), "signing_key": key}


@router.get("", response_model=Subscriptions)
def list_webhook_subscriptions(
    organization: CurrentOrganization, wanted: Annotated[SubscriptionFilter, Query()]
) -> Any:
    """List the organization's subscriptions, newest first."""
    with organization.reading() as connection:
        found = _list(connection, organization.id)
    if wanted.event_type is not None:
        found = [row for row in found if wanted.event_type in row["event_types"]]
    fixed = wanted.model_dump(mode="json", include={"mailbox_id", "url"}, exclude_none=True)
    return {"subscriptions": [row for row in found if row.items() >= fixed.items()]}


@router.get("/{subscription_id}", response_model=Subscription, responses=answers(404))
def get_webhook_subscription(organization: CurrentOrganization, subscription_id: UUID) -> Any:
    """Get a subscription."""
    with organization.reading() as connection:
        return find_subscription(connection, organization.id, str(subscription_id))


@router.patch("/{subscription_id}", response_model=Subscription, responses=answers(400, 404, 409))
def update_webhook_subscription(
    organization: CurrentOrganization, subscription_id: UUID, body: SubscriptionUpdate
) -> Any:
    """Change the URL or the event types of a subscription."""
    with organization.transaction() as connection:
        before = find_subscription(connection, organization.id, str(subscription_id))
        after = {**before, **body.model_dump(exclude_unset=True)}
        if after == before:
            return before
        _refuse_overlap(connection, organization.id, after)
        connection.execute(
            "UPDATE webhook_subscriptions SET url = :url, event_types = :event_types, updated_at = :now WHERE id = :id",
            {**after, "event_types": json.dumps(after["event_types"]), "now": tick(connection)},
        )
        return find_subscription(connection, organization.id, str(subscription_id))


@router.delete("/{subscription_id}", status_code=204, responses=answers(404))
def delete_webhook_subscription(organization: CurrentOrganization, subscription_id: UUID) -> None:
    """Delete a subscription."""
    with organization.transaction() as connection:
        row = find_subscription(connection, organization.id, str(subscription_id))
        connection.execute("DELETE FROM webhook_subscriptions WHERE id = ?", (row["id"],))


def _list(connection: sqlite3.Connection, organization_id: str) -> list[Row]:
    found = connection.execute(
        "SELECT webhook_subscriptions.*, mailboxes.organization_id, mailboxes.identity_id AS owner_identity_id"
        " FROM webhook_subscriptions JOIN mailboxes ON mailboxes.id = mailbox_id WHERE mailboxes.organization_id = ?"
        " ORDER BY webhook_subscriptions.created_at DESC",
        (organization_id,),
    ).fetchall()
    return [{**row, "event_types": json.loads(row["event_types"])} for row in found]


def find_subscription(connection: sqlite3.Connection, organization_id: str, subscription_id: str | None) -> Row:
    """Return a subscription by its id.

    Raises:
        NotFound: The organization has no such subscription.
    """
    for row in _list(connection, organization_id):
        if row["id"] == subscription_id:
            return row
    raise NotFound("Webhook subscription not found")


def _refuse_overlap(connection: sqlite3.Connection, organization_id: str, new: Row) -> None:
    others = [
        row
        for row in _list(connection, organization_id)
        if row["mailbox_id"] == new["mailbox_id"] and row["id"] != new["id"]
    ]
    if len(others) >= MAX_SUBSCRIPTIONS:
        raise Conflict(f"A mailbox has at most {MAX_SUBSCRIPTIONS} webhook subscriptions")
    if any(row["url"] == new["url"] and {*row["event_types"]} & {*new["event_types"]} for row in others):
        raise Conflict("Another subscription of this mailbox sends one of these events to the same URL")
