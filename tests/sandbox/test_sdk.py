"""The official SDK, which does not share our code, against the sandbox on a real port."""

# pyright: reportMissingTypeStubs=false
# The SDK is annotated but does not say so with a py.typed file.

from collections.abc import Callable, Iterator
from datetime import datetime
from uuid import UUID, uuid4

import httpx2
import pytest
from inkbox import Inkbox
from inkbox.exceptions import InkboxAPIError, RecipientBlockedError
from inkbox.mail.resources.messages import MessagesResource
from inkbox.mail.resources.threads import ThreadsResource

from inkbox_mcp.sandbox import Store, create_app
from tests.support.sandbox_ports import serving


def new_key() -> str:
    """Return an unused API key, and so a new organization."""
    return f"ApiKey_{uuid4()}.{uuid4().hex}"


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """A sandbox on a free port, stopped cleanly."""
    with Store(":memory:") as store, serving(create_app(store)) as base_url:
        yield base_url


@pytest.fixture
def inkbox(base_url: str) -> Iterator[Inkbox]:
    """The SDK with a new organization."""
    with Inkbox(api_key=new_key(), base_url=base_url) as inkbox:
        yield inkbox


def unique(name: str) -> str:
    """Return a local part that no other test of the module uses."""
    return f"{name}-{uuid4().hex[:8]}"


def test_whoami_is_an_admin_key_of_an_organization(inkbox: Inkbox) -> None:
    """The SDK can parse the answer for an API key, in which times are numbers."""
    answer = inkbox.whoami()
    assert (type(answer).__name__, answer.auth_type) == ("WhoamiApiKeyResponse", "api_key")
    assert answer.auth_subtype == "api_key.admin_scoped"
    assert answer.organization_id == inkbox.list_identities()[0].organization_id


def test_new_organization_lists_its_two_identities(inkbox: Inkbox) -> None:
    """The SDK parses the list, which is newest first."""
    identities = inkbox.list_identities()
    assert [identity.agent_handle for identity in identities] == ["support-agent", "sales-agent"]
    assert identities[0].created_at > identities[1].created_at


def test_identity_is_created_with_its_mailbox(inkbox: Inkbox) -> None:
    """A nested create gives the identity a mailbox at the requested address."""
    address = unique("billing")
    identity = inkbox.create_identity("billing", display_name="Billing", email_local_part=address)
    assert identity.mailbox is not None
    assert identity.email_address == identity.mailbox.email_address == f"{address}@inkboxmail.com"
    assert identity.mailbox.display_name == "Billing"
    assert identity.phone_number is None


def test_identity_with_default_mailbox_names_it_after_itself(inkbox: Inkbox) -> None:
    """The SDK's `create_mailbox=True` sends an empty object, which is a mailbox with every default."""
    identity = inkbox.create_identity("@billing", create_mailbox=True)
    assert identity.mailbox is not None
    assert identity.mailbox.display_name == identity.agent_handle == "billing"


def test_life_of_a_mailbox(inkbox: Inkbox) -> None:
    """A mailbox is created, found by both names, listed, renamed, subscribed, unsubscribed and deleted."""
    local_part = unique("sales")
    created = inkbox.mailboxes.create(agent_handle="@sales-agent", email_local_part=local_part)
    assert (created.display_name, created.webhook_url) == ("Inkbox user", None)
    assert created.agent_identity_id == inkbox.get_identity("sales-agent").id
    assert isinstance(created.created_at, datetime)
    assert created.created_at.tzinfo is not None
    assert inkbox.mailboxes.get(local_part) == inkbox.mailboxes.get(created.email_address) == created
    assert inkbox.mailboxes.list() == [created]

    renamed = inkbox.mailboxes.update(created.email_address, display_name="Sales Team")
    assert (renamed.display_name, renamed.webhook_url) == ("Sales Team", None)
    subscribed = inkbox.mailboxes.update(local_part, webhook_url="https://example.com/hook")
    assert (subscribed.display_name, subscribed.webhook_url) == ("Sales Team", "https://example.com/hook")
    unsubscribed = inkbox.mailboxes.update(local_part, webhook_url=None)
    assert (unsubscribed.display_name, unsubscribed.webhook_url) == ("Sales Team", None)
    assert created.updated_at < renamed.updated_at < subscribed.updated_at < unsubscribed.updated_at

    inkbox.mailboxes.delete(created.email_address)
    assert inkbox.mailboxes.list() == []
    assert inkbox.get_identity("sales-agent").mailbox is None


def test_mailbox_list_is_newest_first(inkbox: Inkbox) -> None:
    """The SDK keeps the order of the answer."""
    first = inkbox.mailboxes.create(agent_handle="sales-agent", display_name="First")
    second = inkbox.mailboxes.create(agent_handle="support-agent", display_name="Second")
    assert inkbox.mailboxes.list() == [second, first]


def test_identity_makes_links_and_unlinks_its_mailbox(inkbox: Inkbox) -> None:
    """The SDK's identity object can pass its mailbox to another identity."""
    sales, support = inkbox.get_identity("sales-agent"), inkbox.get_identity("support-agent")
    mailbox = sales.create_mailbox(display_name="Shared")
    sales.unlink_mailbox()
    linked = support.assign_mailbox(str(mailbox.id))
    assert linked.id == mailbox.id
    assert sales.refresh().mailbox is None
    assert support.refresh().mailbox == linked
    assert inkbox.mailboxes.get(mailbox.email_address).agent_identity_id == support.id


def test_identity_is_renamed_and_deleted_without_its_mailbox(inkbox: Inkbox) -> None:
    """A rename keeps the mailbox linked, and a delete keeps the mailbox."""
    identity = inkbox.create_identity("billing", create_mailbox=True)
    identity.update(new_handle="invoices")
    renamed = inkbox.get_identity("invoices")
    assert (renamed.id, renamed.email_address) == (identity.id, identity.email_address)
    renamed.delete()
    assert [mailbox.email_address for mailbox in inkbox.mailboxes.list()] == [identity.email_address]
    assert inkbox.mailboxes.list()[0].agent_identity_id is None


def test_organizations_are_apart(inkbox: Inkbox, base_url: str) -> None:
    """Another key sees no object of this organization."""
    mailbox = inkbox.mailboxes.create(agent_handle="sales-agent")
    with Inkbox(api_key=new_key(), base_url=base_url) as other:
        assert other.mailboxes.list() == []
        with pytest.raises(InkboxAPIError) as caught:
            other.mailboxes.get(mailbox.email_address)
    assert caught.value.status_code == 404


@pytest.mark.parametrize(
    ("key", "status", "detail"),
    [
        ("nonsense", 401, "Invalid API key"),
        (f"ApiKey_{UUID(int=1)}.no-organization", 403, "Organization ID missing from token"),
    ],
)
def test_refused_key_raises(base_url: str, key: str, status: int, detail: str) -> None:
    """The SDK raises its API error with the status and the detail of the answer."""
    with Inkbox(api_key=key, base_url=base_url) as inkbox, pytest.raises(InkboxAPIError) as caught:
        inkbox.mailboxes.list()
    assert (caught.value.status_code, caught.value.detail) == (status, detail)


REFUSED: dict[str, tuple[int, Callable[[Inkbox], object]]] = {
    "get": (404, lambda inkbox: inkbox.mailboxes.get("nobody@inkboxmail.com")),
    "update": (404, lambda inkbox: inkbox.mailboxes.update("nobody", display_name="x")),
    "delete": (404, lambda inkbox: inkbox.mailboxes.delete("nobody")),
    "create": (404, lambda inkbox: inkbox.mailboxes.create(agent_handle="nobody")),
    "create twice": (409, lambda inkbox: [inkbox.mailboxes.create(agent_handle="sales-agent") for _ in range(2)]),
    "get identity": (404, lambda inkbox: inkbox.get_identity("nobody")),
    "create identity twice": (409, lambda inkbox: inkbox.create_identity("@sales-agent")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_call_raises(inkbox: Inkbox, name: str) -> None:
    """The SDK raises its API error with a sentence for each refusal."""
    status, call = REFUSED[name]
    with pytest.raises(InkboxAPIError) as caught:
        call(inkbox)
    assert caught.value.status_code == status
    assert isinstance(caught.value.detail, str)


def test_invalid_value_raises_with_the_list_of_errors(inkbox: Inkbox) -> None:
    """The SDK's caller gets FastAPI's list of errors with a 422."""
    with pytest.raises(InkboxAPIError) as caught:
        inkbox.mailboxes.create(agent_handle="sales-agent", display_name="x" * 256)
    assert caught.value.status_code == 422
    assert "string_too_long" in str(caught.value.detail)
    assert "'loc': ['body', 'display_name']" in str(caught.value.detail)


def mail_of(inkbox: Inkbox) -> tuple[MessagesResource, ThreadsResource]:
    """Return what later versions of the SDK call `messages` and `threads`."""
    return vars(inkbox)["_messages"], vars(inkbox)["_threads"]


def test_message_is_sent_listed_and_read(inkbox: Inkbox) -> None:
    """It arrives with both bodies and attachments; reading does not mark it; flags and deletion work."""
    messages, threads = mail_of(inkbox)
    sender = inkbox.create_identity("sender", email_local_part=unique("sender")).email_address
    receiver = inkbox.create_identity("receiver", email_local_part=unique("receiver")).email_address
    assert sender is not None
    assert receiver is not None
    file = {"filename": "bill.txt", "content_type": "text/plain", "content_base64": "aGVsbG8="}
    sent = messages.send(sender, to=[receiver], subject="Bill", body_text="42", attachments=[file])
    assert messages.get(sender, sent.id).status == "delivered"
    (listed,) = messages.list(receiver)
    message = messages.get(receiver, listed.id)
    assert (message.is_read, message.body_text, message.message_id) == (False, "42", sent.message_id)
    url = messages.get_attachment(receiver, listed.id, "bill.txt")["url"]
    assert httpx2.get(url).content == b"hello"
    assert messages.mark_read(receiver, listed.id).is_read is True
    assert [each.id for each in inkbox.mailboxes.search(receiver, q="bill 42")] == [listed.id]
    messages.send(receiver, to=[sender], subject="Re: Bill", in_reply_to_message_id=message.message_id)
    (thread,) = threads.list(sender)
    assert len(threads.get(sender, thread.id).messages) == thread.message_count == 2
    assert threads.update(sender, thread.id, folder="archive").folder == "archive"
    assert threads.list_folders(sender) == ["archive"]
    forwarded = messages.forward(receiver, listed.id, to=[sender], body_text="See")
    assert (forwarded.subject, forwarded.has_attachments) == ("Fwd: Bill", True)
    messages.delete(receiver, listed.id)
    assert len(list(messages.list(receiver, page_size=1))) == 2


def test_blocked_recipient_raises_its_own_error(inkbox: Inkbox) -> None:
    """The SDK knows the detail."""
    messages, _ = mail_of(inkbox)
    address = inkbox.create_identity("sender", email_local_part=unique("sender")).email_address
    assert address is not None
    with pytest.raises(RecipientBlockedError) as caught:
        messages.send(address, to=["blocked@example.com"], subject="x")
    assert caught.value.address == "blocked@example.com"
