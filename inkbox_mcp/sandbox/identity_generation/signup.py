"""`/api/v1/agent-signup/status`: what an agent may do until a human claims it."""

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel

from inkbox_mcp.sandbox.access import CurrentOrganization
from inkbox_mcp.sandbox.mail.limits import read_limits
from inkbox_mcp.sandbox.problems import answers

router = APIRouter(prefix="/api/v1/agent-signup", tags=["signup"], responses=answers(401, 403, 503))

_CLAIMED_SENDS = 5_000


class Restrictions(BaseModel):
    """What an agent may do. No allowed recipients means that all are allowed."""

    max_sends_per_day: int
    allowed_recipients: list[str]
    can_receive: bool
    can_create_mailboxes: bool


class SignupStatus(BaseModel):
    """Whether a human has claimed the agent."""

    claim_status: Literal["agent_claimed", "agent_unclaimed"]
    human_state: Literal["human_verified", "human_unverified"]
    human_email: str
    restrictions: Restrictions


@router.get("/status", response_model=SignupStatus)
def get_signup_status(organization: CurrentOrganization) -> Any:
    """Tell whether the agent is claimed, which it is unless the sandbox's limits name allowed recipients."""
    with organization.reading() as connection:
        limits = read_limits(connection)
    allowed = limits.allowed_recipients
    return {
        "claim_status": "agent_claimed" if allowed is None else "agent_unclaimed",
        "human_state": "human_verified" if allowed is None else "human_unverified",
        "human_email": allowed[0] if allowed else "human@example.com",
        "restrictions": {
            "max_sends_per_day": _CLAIMED_SENDS if limits.recipients_per_day is None else limits.recipients_per_day,
            "allowed_recipients": allowed or [],
            "can_receive": limits.can_receive,
            "can_create_mailboxes": allowed is None,
        },
    }
