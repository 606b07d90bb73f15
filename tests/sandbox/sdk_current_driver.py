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


if __name__ == "__main__":
    with Inkbox(api_key=f"ApiKey_{uuid4()}.{uuid4().hex}", base_url=sys.argv[1]) as inkbox:
        globals()[sys.argv[2]](inkbox)
