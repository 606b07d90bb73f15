"""The scenarios of `test_sdk_current`, for an environment with the current SDK and none of our code.

    python sdk_current_driver.py BASE_URL SCENARIO

Each scenario is a function of a client with a new organization; it fails by raising.
"""

# pyright: reportMissingTypeStubs=false, reportAttributeAccessIssue=false, reportUnknownVariableType=false
# Types are checked in an environment with an earlier SDK, whose types differ.

import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
from inkbox import Inkbox
from inkbox.exceptions import InkboxAPIError
from inkbox.identities.exceptions import HandleUnavailableError


def unique(name: str) -> str:
    """Return a handle that no other scenario uses."""
    return f"{name}-{uuid4().hex[:8]}"


def refused(call: Callable[..., object], *arguments: Any, **options: Any) -> Any:
    """Return the error that a call must raise."""
    try:
        call(*arguments, **options)
    except InkboxAPIError as error:
        return error
    raise AssertionError("nothing was refused")


def new_organization_is_empty(inkbox: Any) -> None:
    """There is nothing to list before the first create."""
    assert inkbox.list_identities() == []
    assert inkbox.mailboxes.list() == []
    assert inkbox.webhooks.subscriptions.list() == []


def identity_is_created_with_its_mailbox(inkbox: Any) -> None:
    """The answer has all fields, and the local part on the platform's domain is the handle."""
    handle = unique("billing")
    identity = inkbox.create_identity(
        f"@{handle}", display_name="Billing", description="Sends bills", email_local_part="bills", sending_domain=None
    )
    assert (identity.agent_handle, identity.display_name) == (handle, "Billing")
    assert identity.description == "Sends bills"
    assert identity.email_address == identity.mailbox.email_address == f"{handle}@inkboxmail.com"
    assert identity.mailbox.sending_domain == "inkboxmail.com"
    assert identity.mailbox.agent_identity_id == identity.id
    assert (identity.phone_number, identity.tunnel) == (None, None)
    assert inkbox.create_identity(unique("plain")).description is None


def taken_handle_is_a_handle_unavailable_error(inkbox: Any) -> None:
    """The error says whether an identity has the handle or a deleted address blocks it."""
    handle = unique("billing")
    identity = inkbox.create_identity(handle)
    error = refused(inkbox.create_identity, handle)
    assert type(error) is HandleUnavailableError, error
    assert (error.status_code, error.blocking_namespace) == (409, "identities")
    identity.delete()
    error = refused(inkbox.create_identity, handle)
    assert type(error) is HandleUnavailableError, error
    assert error.blocking_namespace == "mail"


def identities_are_listed_and_found(inkbox: Any) -> None:
    """The list is newest first and includes each mailbox."""
    first, second = inkbox.create_identity(unique("first")), inkbox.create_identity(unique("second"))
    listed = inkbox.list_identities()
    assert [identity.id for identity in listed] == [second.id, first.id]
    assert [identity.mailbox for identity in listed] == [second.mailbox, first.mailbox]
    assert isinstance(listed[0].created_at, datetime)
    found = inkbox.get_identity(first.agent_handle)
    assert (found.id, found.mailbox) == (first.id, first.mailbox)
    assert refused(inkbox.get_identity, "nobody").status_code == 404


def identity_is_updated(inkbox: Any) -> None:
    """Each name changes alone, None clears it, and a filter mode also applies to the mailbox."""
    identity = inkbox.create_identity(unique("billing"), description="Sends bills")
    identity.update(display_name="Bills")
    assert (identity.display_name, identity.description) == ("Bills", "Sends bills")
    identity.update(description=None, mail_filter_mode="whitelist")
    found = inkbox.get_identity(identity.agent_handle)
    assert (found.display_name, found.description) == ("Bills", None)
    assert found.mail_filter_mode == found.mailbox.filter_mode == "whitelist"
    identity.update(display_name=None, mail_outbound_filter_mode="blacklist")
    assert (identity.display_name, identity.mail_outbound_filter_mode) == (None, "blacklist")
    assert identity.mail_inbound_filter_mode == "whitelist"


def mailboxes_are_listed_found_and_updated(inkbox: Any) -> None:
    """A mailbox is found by its address and shows its storage; signature and filter mode can be set."""
    identity = inkbox.create_identity(unique("billing"))
    (mailbox,) = inkbox.mailboxes.list()
    assert mailbox == inkbox.mailboxes.get(identity.email_address) == inkbox.mailboxes.get(identity.agent_handle)
    assert (mailbox.id, mailbox.agent_identity_id) == (identity.mailbox.id, identity.id)
    assert (mailbox.storage_used_bytes, mailbox.storage_limit_bytes) == (0, 2 * 1024**3)
    signed = inkbox.mailboxes.update(mailbox.email_address, signature_text="Bill", signature_enabled=True)
    assert (signed.signature_text, signed.signature_enabled) == ("Bill", True)
    notice = inkbox.mailboxes.update(mailbox.email_address, filter_mode="whitelist").filter_mode_change_notice
    assert (notice.new_filter_mode, notice.redundant_rule_action, notice.redundant_rule_count) == (
        "whitelist",
        "block",
        0,
    )
    assert refused(inkbox.mailboxes.get, "nobody@inkboxmail.com").status_code == 404


def webhook_subscription_lives_and_dies(inkbox: Any) -> None:
    """A subscription can be created, listed by any filter, fetched, updated and deleted."""
    identity = inkbox.create_identity(unique("billing"))
    subscriptions, mailbox_id = inkbox.webhooks.subscriptions, identity.mailbox.id
    url = "https://example.com/hook"
    created = subscriptions.create(mailbox_id=mailbox_id, url=url, event_types=["message.received"])
    assert created.signing_key.startswith("whsec_")
    assert (created.mailbox_id, created.owner_identity_id) == (mailbox_id, identity.id)
    assert (created.url, created.event_types, created.status) == (url, ["message.received"], "active")
    (listed,) = subscriptions.list()
    assert [listed] == subscriptions.list(mailbox_id=mailbox_id, url=url, event_type="message.received")
    assert listed == subscriptions.get(created.id)
    assert subscriptions.list(event_type="message.sent") == []
    updated = subscriptions.update(created.id, event_types=["message.sent"], url=f"{url}/2")
    assert (updated.id, updated.url, updated.event_types) == (created.id, f"{url}/2", ["message.sent"])
    second = subscriptions.create(mailbox_id=str(mailbox_id), url=url, event_types=["message.bounced"])
    assert second.signing_key is None
    subscriptions.delete(created.id)
    assert [subscription.id for subscription in subscriptions.list()] == [second.id]
    assert refused(subscriptions.get, created.id).status_code == 404
    mistake = refused(subscriptions.create, mailbox_id=mailbox_id, url=url, event_types=["message.recieved"])
    assert mistake.status_code == 422


def signing_key_is_made_and_rotated(inkbox: Any) -> None:
    """The identity shows whether it has a key."""
    identity = inkbox.create_identity(unique("billing"))
    assert identity.get_signing_key_status().configured is False
    keys = {identity.create_signing_key().signing_key for _ in range(2)}
    assert len(keys) == 2
    assert isinstance(identity.get_signing_key_status().created_at, datetime)
    assert inkbox.get_identity(identity.agent_handle).signing_key_configured is True


def deleted_identity_takes_everything_with_it(inkbox: Any) -> None:
    """Its mailbox and the subscriptions of that mailbox are deleted, too."""
    identity = inkbox.create_identity(unique("billing"))
    created = inkbox.webhooks.subscriptions.create(
        mailbox_id=identity.mailbox.id, url="https://example.com", event_types=["message.received"]
    )
    identity.delete()
    assert refused(inkbox.get_identity, identity.agent_handle).status_code == 404
    assert refused(inkbox.mailboxes.get, identity.email_address).status_code == 404
    assert refused(inkbox.webhooks.subscriptions.get, created.id).status_code == 404
    new_organization_is_empty(inkbox)


def whoami_is_an_admin_key_of_an_organization(inkbox: Any) -> None:
    """The SDK can parse the answer for an API key."""
    answer = inkbox.whoami()
    assert (type(answer).__name__, answer.auth_subtype) == ("WhoamiApiKeyResponse", "api_key.admin_scoped")
    inkbox.create_identity(unique("billing"))
    assert answer.organization_id == inkbox.list_identities()[0].organization_id
    assert answer.expires_at is None


def refused_key_raises(inkbox: Any) -> None:
    """The SDK raises its API error with the status of the answer."""
    for key, status in (("nonsense", 401), (f"ApiKey_{UUID(int=1)}.no-organization", 403)):
        with Inkbox(api_key=key, base_url=sys.argv[1]) as other:
            assert refused(other.mailboxes.list).status_code == status
            assert refused(other.whoami).status_code == status
    assert inkbox.mailboxes.list() == []


def message_is_sent_listed_and_read(inkbox: Any) -> None:
    """It arrives with both bodies and attachments; reading it marks it read; flags and deletion work."""
    sender, receiver = inkbox.create_identity(unique("sender")), inkbox.create_identity(unique("receiver"))
    file = {"filename": "bill 1.txt", "content_type": "text/plain", "content_base64": "aGVsbG8="}
    sent = inkbox.messages.send(
        sender.email_address,
        to=[receiver.email_address],
        bcc=["x@example.com"],
        subject="Bill",
        body_text="42",
        body_html="<b>42</b>",
        attachments=[file],
    )
    assert (sent.status, str(sent.direction), sent.has_attachments) == ("sent", "outbound", True)
    assert inkbox.messages.get(sender.email_address, sent.id).status == "delivered"
    (listed,) = inkbox.messages.list(receiver.email_address, direction="inbound")
    assert (listed.is_read, listed.from_display_name) == (False, sender.display_name)
    message = inkbox.messages.get(receiver.email_address, listed.id)
    assert (message.is_read, message.body_text, message.body_html) == (True, "42", "<b>42</b>")
    assert (message.bcc_addresses, message.reply_all_recipients.to) == (None, [sender.email_address])
    url = inkbox.messages.get_attachment(receiver.email_address, listed.id, "bill 1.txt")["url"]
    assert httpx.get(url).content == b"hello"
    assert inkbox.messages.mark_unread(receiver.email_address, listed.id).is_read is False
    assert inkbox.messages.star(receiver.email_address, listed.id).is_starred is True
    inkbox.messages.delete(receiver.email_address, listed.id)
    assert list(inkbox.messages.list(receiver.email_address)) == []
    assert refused(inkbox.messages.get, receiver.email_address, listed.id).status_code == 404


def messages_are_paged_and_limited_by_dates(inkbox: Any) -> None:
    """The SDK's iterator sees every message once."""
    address = inkbox.create_identity(unique("sender")).email_address
    for number in range(7):
        # A random address may have a number as a word, too.
        inkbox.messages.send(address, to=["x@example.com"], subject=f"report{number}")
    found = [each.subject for each in inkbox.messages.list(address, page_size=3)]
    assert found == [f"report{number}" for number in reversed(range(7))]
    assert len(list(inkbox.messages.list(address, start_datetime="2020-01-01", tz="Europe/Berlin"))) == 7
    assert list(inkbox.messages.list(address, end_datetime="2020-01-01")) == []
    assert [each.subject for each in inkbox.mailboxes.search(address, q="report4")] == ["report4"]


def threads_are_read_moved_and_deleted(inkbox: Any) -> None:
    """An answer and an answer to everyone join the thread."""
    first, second = inkbox.create_identity(unique("first")), inkbox.create_identity(unique("second"))
    inkbox.messages.send(first.email_address, to=[second.email_address], cc=["x@example.com"], subject="Plan")
    (received,) = inkbox.messages.list(second.email_address)
    inkbox.messages.reply_all(second.email_address, received.id, body_text="Yes")
    answer = next(inkbox.messages.list(first.email_address))
    assert (answer.subject, answer.cc_addresses) == ("Re: Plan", ["x@example.com"])
    inkbox.messages.send(
        first.email_address, to=[second.email_address], subject="Re: Plan", in_reply_to_message_id=answer.message_id
    )
    (thread,) = inkbox.threads.list(second.email_address)
    assert thread.message_count == 3
    detail = inkbox.threads.get(second.email_address, thread.id)
    assert [str(each.direction) for each in detail.messages] == ["inbound", "outbound", "inbound"]
    assert inkbox.threads.update(second.email_address, thread.id, folder="archive").folder == "archive"
    assert inkbox.threads.list_folders(second.email_address) == ["archive"]
    inkbox.threads.delete(second.email_address, thread.id)
    assert list(inkbox.threads.list(second.email_address)) == []


def message_is_forwarded(inkbox: Any) -> None:
    """Inline and wrapped."""
    address = inkbox.create_identity(unique("sender")).email_address
    sent = inkbox.messages.send(address, to=["x@example.com"], subject="Bill", body_text="42")
    for mode in ("inline", "wrapped"):
        forwarded = inkbox.messages.forward(address, sent.id, to=[address], mode=mode, body_text="See")
        assert forwarded.subject == "Fwd: Bill"
        newest = next(inkbox.messages.list(address, direction="inbound"))
        assert inkbox.messages.get(address, newest.id).has_attachments is (mode == "wrapped")


def key_sends_once_and_finds_its_message(inkbox: Any) -> None:
    """A repeated call is answered as before, another message is refused, and the SDK's own retry sends once."""
    address = inkbox.create_identity(unique("sender")).email_address
    message = {"to": ["x@example.com"], "subject": "Bill", "idempotency_key": "bill 42"}
    sent = inkbox.messages.send(address, **message)
    assert inkbox.messages.send(address, **message) == sent
    error = refused(inkbox.messages.send, address, **{**message, "subject": "Other"})
    assert type(error).__name__ == "IdempotencyKeyReusedError"
    assert inkbox.message_sends.lookup_email(address, idempotency_key="bill 42") == sent.id
    for fault in ({"kind": "lost"}, {"error": "send_outcome_ambiguous", "effect": True}, {"status": 502}):
        answer = httpx.post(f"{sys.argv[1]}/sandbox/faults", json={"operation": "send_message", **fault})
        assert answer.status_code == 201
        inkbox.messages.send(address, to=["x@example.com"], subject="Again")
    assert len(list(inkbox.messages.list(address))) == 4


def blocked_recipient_is_an_error_of_its_own(inkbox: Any) -> None:
    """It names the address."""
    address = inkbox.create_identity(unique("sender")).email_address
    error = refused(inkbox.messages.send, address, to=["blocked@example.com"], subject="x")
    assert (type(error).__name__, error.address) == ("RecipientBlockedError", "blocked@example.com")


def signup_status_is_shown(inkbox: Any) -> None:
    """With the restrictions of the plan."""
    key = f"ApiKey_{uuid4()}.{uuid4().hex}"
    status = Inkbox.get_signup_status(key, base_url=sys.argv[1])
    assert (status.claim_status, status.restrictions.can_receive) == ("agent_claimed", True)


def webhook_deliveries_are_listed_and_replayed(inkbox: Any) -> None:
    """With the event that was sent."""
    identity = inkbox.create_identity(unique("sender"))
    subscription = inkbox.webhooks.subscriptions.create(
        mailbox_id=identity.mailbox.id, url="https://example.com/hook", event_types=["message.sent"]
    )
    inkbox.messages.send(identity.email_address, to=["x@example.com"], subject="x")
    (delivery,) = inkbox.webhooks.deliveries.list(subscription_id=subscription.id)
    assert (delivery.event_type, delivery.replayable) == ("message.sent", True)
    assert inkbox.webhooks.deliveries.replay(delivery.id).event_id == delivery.event_id


if __name__ == "__main__":
    with Inkbox(api_key=f"ApiKey_{uuid4()}.{uuid4().hex}", base_url=sys.argv[1]) as inkbox:
        globals()[sys.argv[2]](inkbox)
