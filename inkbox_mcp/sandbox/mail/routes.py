"""The routes that both generations have: threads, search, flags, deletion, attachments.

Only the shape of a message differs between the generations.
"""

from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import BaseModel
from starlette.responses import Response

from inkbox_mcp.sandbox import rows
from inkbox_mcp.sandbox.access import CurrentOrganization
from inkbox_mcp.sandbox.mail import messages, threads
from inkbox_mcp.sandbox.mail.attachments import sign_url
from inkbox_mcp.sandbox.mail.objects import AttachmentURL, Folder, Thread, ThreadPage
from inkbox_mcp.sandbox.mail.requests import Address, MessageUpdate, SearchQuery, ThreadQuery, ThreadUpdate
from inkbox_mcp.sandbox.mail.search import search
from inkbox_mcp.sandbox.problems import MailProblem, answers

SENDING = {**answers(400, 503), **answers(402, 403, 404, 413, 429, model=MailProblem)}
"""How a send can be refused."""


# So that other methods of /threads/folders are refused as such.
_THREAD = "/threads/{thread_id:uuid}"


@dataclass(frozen=True, slots=True)
class Shapes:
    """The models of a generation.

    Attributes:
        message: A message as lists show it.
        results: What a search answers, with `items`.
        thread: A thread with its `messages`.
    """

    message: type[BaseModel]
    results: type[BaseModel]
    thread: type[BaseModel]


def mail_router() -> APIRouter:
    """Make a router for a mailbox's mail."""
    prefix = "/api/v1/mail/mailboxes/{email_address}"
    return APIRouter(prefix=prefix, tags=["mail"], responses=answers(401, 403, 404, 503))


def shared_router(shapes: Shapes) -> APIRouter:
    """Make the routes of a generation."""
    router = mail_router()
    _add_messages(router, shapes)
    _add_attachments(router)
    _add_threads(router)
    _add_thread(router, shapes)
    return router


def _add_messages(router: APIRouter, shapes: Shapes) -> None:
    @router.patch("/messages/{message_id}", response_model=shapes.message, responses=answers(400))
    def update_message(  # pyright: ignore[reportUnusedFunction]
        organization: CurrentOrganization, address: Address, message_id: UUID, body: MessageUpdate
    ) -> Any:
        """Set the flags of a message."""
        with organization.transaction() as connection:
            mailbox = rows.find_mailbox(connection, organization.id, address)
            message = messages.find_message(connection, mailbox["id"], message_id)
            return messages.update_message(connection, message, body.model_dump(exclude_unset=True))

    @router.delete("/messages/{message_id}", status_code=204)
    def delete_message(  # pyright: ignore[reportUnusedFunction]
        organization: CurrentOrganization, address: Address, message_id: UUID
    ) -> None:
        """Delete a message for good; its storage is free at once."""
        with organization.transaction() as connection:
            mailbox = rows.find_mailbox(connection, organization.id, address)
            message = messages.find_message(connection, mailbox["id"], message_id)
            messages.delete_messages(connection, mailbox["id"], [message])

    @router.get("/search", response_model=shapes.results)
    def search_mailbox(  # pyright: ignore[reportUnusedFunction]
        organization: CurrentOrganization, address: Address, wanted: Annotated[SearchQuery, Query()]
    ) -> Any:
        """Find messages that contain every word, best first; there is no second page."""
        with organization.reading() as connection:
            mailbox = rows.find_mailbox(connection, organization.id, address)
            return {"items": search(connection, mailbox["id"], wanted.q, wanted.limit)}


def _add_attachments(router: APIRouter) -> None:
    @router.get(
        "/messages/{message_id}/attachments/{filename:path}",
        response_model=AttachmentURL,
        responses={302: {"description": "To the URL, with redirect=true"}},
    )
    def get_message_attachment(  # pyright: ignore[reportUnusedFunction]
        request: Request,
        organization: CurrentOrganization,
        address: Address,
        message_id: UUID,
        filename: str,
        redirect: bool = True,
    ) -> Response:
        """Get a URL from which an attachment can be fetched without a key, for a while."""
        with organization.reading() as connection:
            mailbox = rows.find_mailbox(connection, organization.id, address)
            message = messages.find_message(connection, mailbox["id"], message_id)
            message = messages.with_content(connection, message)
            signed = sign_url(connection, str(request.base_url), message, filename)
        return RedirectResponse(signed.url, 302) if redirect else JSONResponse(signed.model_dump())


def _add_threads(router: APIRouter) -> None:
    @router.get("/threads", response_model=ThreadPage)
    def list_threads(  # pyright: ignore[reportUnusedFunction]
        organization: CurrentOrganization, address: Address, wanted: Annotated[ThreadQuery, Query()]
    ) -> Any:
        """List threads, the one with the newest message first; without a folder, all but the blocked ones."""
        with organization.reading() as connection:
            mailbox = rows.find_mailbox(connection, organization.id, address)
            return threads.list_threads(connection, mailbox["id"], **wanted.options())

    @router.get("/threads/folders", response_model=list[Folder])
    def list_thread_folders(  # pyright: ignore[reportUnusedFunction]
        organization: CurrentOrganization, address: Address
    ) -> Any:
        """List the folders that have threads."""
        with organization.reading() as connection:
            mailbox = rows.find_mailbox(connection, organization.id, address)
            return threads.list_folders(connection, mailbox["id"])


def _add_thread(router: APIRouter, shapes: Shapes) -> None:
    @router.get(_THREAD, response_model=shapes.thread)
    def get_thread(  # pyright: ignore[reportUnusedFunction]
        organization: CurrentOrganization, address: Address, thread_id: UUID
    ) -> Any:
        """Get a thread with its messages, oldest first, without their bodies."""
        with organization.reading() as connection:
            mailbox = rows.find_mailbox(connection, organization.id, address)
            thread = threads.find_thread(connection, mailbox["id"], thread_id)
            return {**thread, "messages": messages.messages_of_thread(connection, thread["id"])}

    @router.patch(_THREAD, response_model=Thread, responses=answers(400))
    def update_thread(  # pyright: ignore[reportUnusedFunction]
        organization: CurrentOrganization, address: Address, thread_id: UUID, body: ThreadUpdate
    ) -> Any:
        """Put a thread into a folder."""
        with organization.transaction() as connection:
            mailbox = rows.find_mailbox(connection, organization.id, address)
            thread = threads.find_thread(connection, mailbox["id"], thread_id)
            changes = body.model_dump(exclude_unset=True)
            return threads.move_thread(connection, thread, changes.get("folder", thread["folder"]))

    @router.delete(_THREAD, status_code=204)
    def delete_thread(  # pyright: ignore[reportUnusedFunction]
        organization: CurrentOrganization, address: Address, thread_id: UUID
    ) -> None:
        """Delete a thread with its messages for good."""
        with organization.transaction() as connection:
            mailbox = rows.find_mailbox(connection, organization.id, address)
            thread = threads.find_thread(connection, mailbox["id"], thread_id)
            found = messages.messages_of_thread(connection, thread["id"])
            messages.delete_messages(connection, mailbox["id"], found)
