"""`/sandbox/limits` and `/sandbox/faults`: what a test of another program sets; neither needs a key."""

from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from inkbox_mcp.sandbox.faults import Fault
from inkbox_mcp.sandbox.fields import Text, absent
from inkbox_mcp.sandbox.mail.limits import Limits
from inkbox_mcp.sandbox.mail.requests import Addresses
from inkbox_mcp.sandbox.store import Store

router = APIRouter(prefix="/sandbox", include_in_schema=False)

Number = Annotated[int, Field(ge=0, lt=2**63)]


class LimitsUpdate(BaseModel):
    """The limits to change; what is absent stays as it is."""

    model_config = ConfigDict(extra="forbid")

    storage_limit_bytes: Number = Field(default_factory=absent)
    recipients_per_day: Number | None = None
    attachment_bytes: Number = Field(default_factory=absent)
    attachment_url_seconds: Annotated[int, Field(ge=0, le=7 * 24 * 60 * 60)] = Field(default_factory=absent)
    allowed_recipients: Addresses | None = None
    can_receive: bool = Field(default_factory=absent)
    footer: Annotated[Text, StringConstraints(max_length=1000)] | None = None


class NewFault(BaseModel):
    """A fault; see `faults.Fault`."""

    model_config = ConfigDict(extra="forbid")

    operation: Annotated[Text, StringConstraints(min_length=1, max_length=100)]
    kind: Literal["refused", "lost", "slow"] = "refused"
    effect: bool = False
    status: Annotated[int, Field(ge=400, le=599)] = 503
    error: Annotated[Text, StringConstraints(max_length=100)] | None = None
    retry_after: Annotated[int, Field(ge=0, le=10**6)] | None = None
    seconds: Annotated[float, Field(ge=0, le=600, allow_inf_nan=False)] = 0
    times: Annotated[int, Field(ge=1, le=10**6)] = 1


@router.get("/limits")
def get_limits(request: Request) -> Limits:
    """Get the limits of the plan."""
    return _store(request).limits


@router.patch("/limits")
def update_limits(request: Request, body: LimitsUpdate) -> Limits:
    """Change limits of the plan."""
    store, changes = _store(request), body.model_dump(exclude_unset=True)
    if changes.get("allowed_recipients") is not None:
        changes["allowed_recipients"] = tuple(changes["allowed_recipients"])
    store.limits = replace(store.limits, **changes)
    return store.limits


@router.post("/faults", status_code=201)
def add_fault(request: Request, body: NewFault) -> NewFault:
    """Let a fault wait for the next requests of an operation that this sandbox has."""
    paths: dict[str, dict[str, Any]] = request.app.openapi()["paths"]
    known = {operation["operationId"] for path in paths.values() for operation in path.values()}
    if body.operation not in {"*", *known}:
        reason = {"type": "value_error", "loc": ("body", "operation"), "msg": "No operation has this name"}
        raise RequestValidationError([reason])
    _store(request).add_fault(Fault(**body.model_dump()))
    return body


@router.delete("/faults", status_code=204)
def clear_faults(request: Request) -> None:
    """Forget the faults that wait."""
    _store(request).clear_faults()


def _store(request: Request) -> Store:
    store: Store = request.app.state.store
    return store
