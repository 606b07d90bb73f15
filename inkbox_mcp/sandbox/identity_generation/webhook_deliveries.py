"""`/api/v1/webhooks/deliveries`: what was sent to webhooks, and sending it again."""

from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from inkbox_mcp.sandbox.access import CurrentOrganization
from inkbox_mcp.sandbox.database import tick
from inkbox_mcp.sandbox.fields import Timestamp
from inkbox_mcp.sandbox.identity_generation.webhooks import find_subscription
from inkbox_mcp.sandbox.mail.events import EventType
from inkbox_mcp.sandbox.mail.webhooks import call, record
from inkbox_mcp.sandbox.problems import Conflict, NotFound, answers
from inkbox_mcp.sandbox.rows import Row

router = APIRouter(prefix="/api/v1/webhooks/deliveries", tags=["webhooks"], responses=answers(401, 403, 503))


class WebhookDelivery(BaseModel):
    """One attempt; `response_status` is null while it is to do, and if nothing answered."""

    id: UUID
    organization_id: str
    webhook_subscription_id: UUID | None
    phone_number_id: None = None
    event_id: str
    event_type: EventType
    url: str
    request_payload: str
    response_status: int | None
    response_body: str | None
    error_detail: str | None
    duration_ms: int | None
    is_replay: bool
    replayable: bool
    replay_unavailable_reason: str | None
    created_at: Timestamp


class WebhookDeliveries(BaseModel):
    """What a list answers."""

    deliveries: list[WebhookDelivery]


class DeliveryQuery(BaseModel):
    """Which deliveries to list: those that match all that is given."""

    subscription_id: UUID | None = None
    event_type: EventType | None = None
    success: bool | None = Field(None, description="Whether a status of 2xx was answered")
    limit: int = Field(50, ge=1, le=200)
    offset: int = Field(0, ge=0, le=10**9)


@router.get("", response_model=WebhookDeliveries)
def list_webhook_deliveries(organization: CurrentOrganization, wanted: Annotated[DeliveryQuery, Query()]) -> Any:
    """List deliveries, newest first."""
    conditions, values = ["organization_id = ?"], list[Any]([organization.id])
    if wanted.subscription_id is not None:
        conditions.append("webhook_subscription_id = ?")
        values.append(str(wanted.subscription_id))
    if wanted.event_type is not None:
        conditions.append("event_type = ?")
        values.append(wanted.event_type)
    if wanted.success is not None:
        conditions.append("coalesce(response_status, 0) BETWEEN 200 AND 299 = ?")
        values.append(wanted.success)
    statement = f"SELECT * FROM webhook_deliveries WHERE {' AND '.join(conditions)}"  # noqa: S608 - constants
    with organization.reading() as connection:
        found = connection.execute(
            f"{statement} ORDER BY created_at DESC, id DESC LIMIT ? OFFSET ?", (*values, wanted.limit, wanted.offset)
        ).fetchall()
    return {"deliveries": [_shown(row) for row in found]}


@router.post("/{delivery_id}/replay", status_code=201, response_model=WebhookDelivery, responses=answers(404, 409))
def replay_webhook_delivery(organization: CurrentOrganization, delivery_id: UUID) -> Any:
    """Send the event of a delivery again, to the present URL of its subscription, and wait for the answer."""
    with organization.transaction() as connection:
        row = connection.execute(
            "SELECT webhook_deliveries.*, signing_key FROM webhook_deliveries"
            " LEFT JOIN mailboxes ON mailboxes.id = mailbox_id LEFT JOIN identities ON identities.id = identity_id"
            " WHERE webhook_deliveries.id = ? AND webhook_deliveries.organization_id = ?",
            (str(delivery_id), organization.id),
        ).fetchone()
        if row is None:
            raise NotFound("Webhook delivery not found")
        try:
            subscription = find_subscription(connection, organization.id, row["webhook_subscription_id"])
        except NotFound:
            raise Conflict("The subscription is no longer active") from None
        if row["event_type"] not in subscription["event_types"]:
            raise Conflict("The subscription does not have this event any more")
        again: Row = {**row, "id": str(uuid4()), "url": subscription["url"], "now": tick(connection)}
        connection.execute(
            "INSERT INTO webhook_deliveries (id, organization_id, mailbox_id, webhook_subscription_id, event_id,"
            " event_type, url, request_payload, state, claimed_at, is_replay, created_at) VALUES (:id,"
            " :organization_id, :mailbox_id, :webhook_subscription_id, :event_id, :event_type, :url,"
            " :request_payload, 'sending', :now, TRUE, :now)",
            again,
        )
    result = call(again)
    with organization.transaction() as connection:
        record(connection, again, result)
        found = connection.execute("SELECT * FROM webhook_deliveries WHERE id = ?", (again["id"],)).fetchone()
    return _shown(found)


def _shown(row: Row) -> Row:
    replayable = row["webhook_subscription_id"] is not None
    reason = None if replayable else "Not a subscription's"
    return {**row, "replayable": replayable, "replay_unavailable_reason": reason}
