"""Whom mail may go to, and how many recipients an Inkbox key may have in an hour."""

import gc
import weakref
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import SecretStr

from inkbox_mcp.access import tenants
from inkbox_mcp.access.patterns import RecipientPatterns
from inkbox_mcp.access.recipients import HOUR, RecipientCount
from inkbox_mcp.access.tenants import LOCAL, Caller, Tenants
from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.connection import Connection
from inkbox_mcp.errors import NotAllowed, NotConfigured, TooManyRecipients, machine_fields
from inkbox_mcp.settings.options import Settings
from tests.support.agents import KEY
from tests.support.clock import Clock
from tests.support.redis_server import redis_on_socket

ONE, OTHER = SecretStr(KEY), SecretStr(KEY.replace("1111", "2222"))


@pytest.mark.parametrize("pattern", ["*@acme.com", "*@ACME.com", "jane@*", "j?ne@acme.*", "Jane@Acme.Com", "*@*"])
@pytest.mark.parametrize("address", ["jane@acme.com", "JANE@ACME.COM", "Jane@Acme.com"])
def test_an_address_matches_in_any_case(pattern: str, address: str) -> None:
    """Mail to all of these arrives in one mailbox."""
    assert RecipientPatterns([pattern]).match(address)


@pytest.mark.parametrize("address", ["jane.o'neil+news@acme.com", "a_b-c=d@acme.com", "1@acme.com"])
def test_the_signs_of_usual_addresses_are_plain(address: str) -> None:
    """They stand in addresses of people and of lists."""
    assert RecipientPatterns(["*@acme.com"]).match(address)


@pytest.mark.parametrize("address", ["jane@acme.com.evil.com", "jane@evilacme.com", "jane@x.acme.com", "john@acme.com"])
def test_another_domain_or_name_is_not_allowed(address: str) -> None:
    """The whole address must match."""
    assert not RecipientPatterns(["jane@acme.com", "ja*@acme.com"]).match(address)


NOT_PLAIN = [
    *(
        "",
        "acme.com",
        "@acme.com",
        "jane@",
        "jane",
        "jane@acme",
        "b@acme.com.",
        "b.@acme.com",
        ".b@acme.com",
        "b@.acme.com",
    ),
    *("b..c@acme.com", '"a@evil.com"@acme.com', '"a"@acme.com', "a@evil.com@acme.com", "a@evil.com,b@acme.com"),
    *("a@evil.com b@acme.com", "a@evil.com;b@acme.com", "a@evil.com\nb@acme.com", "b@acme.com\n", "\nb@acme.com"),
    *(
        "b@acme.com\r\n",
        "b@acme.com\0",
        "b@acme.com ",
        " b@acme.com",
        "<b@acme.com>",
        "B <b@acme.com>",
        "b(x)@acme.com",
    ),
    *("a@evil.com <b@acme.com>", "(a@evil.com)b@acme.com", "mailto:b@acme.com", "b@acme.com?cc=a@evil.com"),
    *("team:a@evil.com,b@acme.com;", "@evil.com:b@acme.com", "a%evil.com@acme.com", "evil.com!a@acme.com"),
    *("a\\@evil.com@acme.com", "b@[127.0.0.1]", "b@acme.com]", "b@acm\u0435.com", "b@a\u212ame.com", "b@acme\u3002com"),
    *(
        "b\u200b@acme.com",
        "b\uff20acme.com",
        "\u00fc@acme.com",
        "b@acme.com\u2028",
        "b@acme.com\u00a0",
        "b@acme.com\ud800",
    ),
]


@pytest.mark.parametrize("address", NOT_PLAIN)
def test_what_is_not_one_plain_address_matches_nothing(address: str) -> None:
    """Programs could read it as another address, or as several."""
    assert not RecipientPatterns(["*@*", "*", address]).match(address)
    assert RecipientPatterns().match(address)


def test_letters_that_only_look_alike_are_not_the_same() -> None:
    """The lower case of the Kelvin sign is the letter k."""
    assert not RecipientPatterns(["*@kim.com"]).match("jane@\u212aim.com")


async def served(**settings: Any) -> InkboxAPI:
    """Return the API of the only caller of a server."""
    return Tenants(Settings.model_validate({"sandbox": True, "sandbox_db": ":memory:", **settings})).api()


async def test_the_first_recipient_that_is_not_allowed_is_named() -> None:
    """The address may be a stranger's text, from the headers of a message, so it is quoted in one line."""
    api = await served(allow_recipients="*@acme.com,jane@*.org")
    api.permit_recipients([])
    api.permit_recipients(["a@acme.com", "jane@example.org"])
    with pytest.raises(NotAllowed) as refused:
        api.permit_recipients(["a@acme.com", 'evil\n\u202e"@evil.com', "other@evil.com"])
    assert str(refused.value) == (
        "the recipient \"evil '@evil.com\" is outside what this server's operator allows (*@acme.com or jane@*.org)."
    )
    (await served()).permit_recipients(["anybody@anywhere.example"])


async def test_the_api_itself_limits_nobody() -> None:
    """The limits are the server's own."""
    api = InkboxAPI(Connection("http://sandbox", concurrency=1), None)
    api.permit_recipients(["anybody"])
    await api.count_recipients(10**6)


async def test_the_recipients_of_an_hour_are_counted_for_each_key() -> None:
    """A message is counted as a whole or not at all, and the hour slides."""
    clock = Clock()
    count = RecipientCount(10, clock=clock)
    clock.now = 10 * HOUR
    await count.add(ONE, 8)
    with pytest.raises(TooManyRecipients):
        await count.add(ONE, 3)
    await count.add(ONE, 2)
    await count.add(OTHER, 10)
    with pytest.raises(TooManyRecipients) as refused:
        await count.add(ONE, 1)
    assert refused.value.retry_after
    clock.now += refused.value.retry_after
    await count.add(ONE, 1)


async def test_the_refusal_says_what_to_do() -> None:
    """A model that splits the message would only get around the limit."""
    clock = Clock()
    clock.now = 10 * HOUR
    count = RecipientCount(10, clock=clock)
    await count.add(ONE, 10)
    with pytest.raises(TooManyRecipients) as refused:
        await count.add(ONE, 1)
    assert refused.value.explain("send_message") == (
        "send_message failed: the message has 1 recipient, and fewer are left of the 10 that this server allows in an "
        "hour. Nothing was sent. Tell the user, who can wait, or ask the operator of this server for more; do not "
        "split the message. Try again after 3600.1 seconds."
    )
    assert machine_fields(refused.value) == {"code": "too_many_recipients", "retryable": True, "retry_after": 3600.1}


async def test_a_message_with_more_recipients_than_the_hour_has_can_never_be_sent() -> None:
    """The error says so, and names no time after which it could."""
    count = RecipientCount(10)
    with pytest.raises(TooManyRecipients) as refused:
        await count.add(ONE, 11)
    assert refused.value.explain("send_message") == (
        "send_message failed: the message has 11 recipients, and this server allows 10 in an hour, so it can never be "
        "sent. Nothing was sent. Tell the user, who can ask the operator of this server for more; do not split the "
        "message. Trying again with the same arguments will not help."
    )
    assert machine_fields(refused.value) == {"code": "too_many_recipients", "retryable": False}
    await count.add(ONE, 10)


async def test_messages_at_the_same_time_share_the_hour() -> None:
    """However many callers send with one key."""
    api, sent = await served(max_recipients_per_hour=10), list[int]()

    async def send() -> None:
        try:
            await api.count_recipients(3)
        except TooManyRecipients:
            return
        sent.append(3)

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(send)
    assert sum(sent) == 9


async def test_without_a_key_nothing_is_counted() -> None:
    """The error is the one that every request without a key gets."""
    with pytest.raises(NotConfigured):
        await Tenants(Settings()).api().count_recipients(1)


async def test_a_key_keeps_its_count_when_its_api_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that somebody makes up can fill the cache; they must not give a real one a new hour."""
    monkeypatch.setattr(tenants, "MAX_TENANTS", 1)
    options = {"http": True, "per_request_keys": True, "max_recipients_per_hour": 2}
    one, other = (Caller(keys=(key.get_secret_value(),)) for key in (ONE, OTHER))
    async with Tenants(Settings.model_validate(options)) as server:
        forgotten = weakref.ref(server.api(one))
        await server.api(one).count_recipients(2)
        await server.api(other).count_recipients(2)
        gc.collect()
        assert forgotten() is None
        for name in ("one", "another caller"):
            again = Caller(keys=one.keys, name=name)
            with pytest.raises(TooManyRecipients):
                await server.api(again).count_recipients(1)


async def test_calls_and_recipients_are_counted_apart() -> None:
    """A call does not use up recipients, and recipients do not use up calls, even where both rates are the same."""
    options = {"sandbox": True, "sandbox_db": ":memory:", "rate_limit": "2/h", "max_recipients_per_hour": 2}
    async with Tenants(Settings.model_validate(options)) as server:
        api = await server.admit(LOCAL)
        await api.count_recipients(2)
        await server.admit(LOCAL)


@pytest.mark.slow
@pytest.mark.linux
async def test_replicas_share_the_count_and_the_store_does_not_have_the_key(tmp_path: Path) -> None:
    """Without a rate limit, too. A key that others can read in the store would be theirs."""
    from redis.asyncio import Redis

    with redis_on_socket(tmp_path) as (_, url):
        options = {"sandbox": True, "sandbox_db": ":memory:", "rate_limit_store": url, "max_recipients_per_hour": 5}
        settings = Settings.model_validate(options)
        client: Any = Redis.from_url(url)  # pyright: ignore[reportUnknownMemberType]
        async with Tenants(settings) as one, Tenants(settings) as other, client:
            await one.api().count_recipients(4)
            with pytest.raises(TooManyRecipients) as refused:
                await other.api().count_recipients(2)
            assert refused.value.retry_after
            await other.api().count_recipients(1)
            with pytest.raises(TooManyRecipients):
                await one.api().count_recipients(1)
            (key,) = await client.keys()
            assert key.startswith(b"inkbox-mcp:")
            assert b"/5/3600/recipients" in key
            assert b"sandbox" not in key
            assert b"ApiKey" not in key


@pytest.mark.slow
@pytest.mark.linux
async def test_calls_and_recipients_are_counted_apart_in_the_store(tmp_path: Path) -> None:
    """Also where the rates are the same, and so would be the keys."""
    with redis_on_socket(tmp_path) as (_, url):
        options = {"sandbox": True, "sandbox_db": ":memory:", "rate_limit_store": url, "rate_limit": "2/h"}
        async with Tenants(Settings.model_validate({**options, "max_recipients_per_hour": 2})) as server:
            api = await server.admit(LOCAL)
            await api.count_recipients(2)
            await server.admit(LOCAL)


@pytest.mark.linux
async def test_while_the_store_is_away_each_process_counts_by_itself(tmp_path: Path) -> None:
    """Mail goes on within the limit, and no message fails because of the store."""
    store = f"unix://{tmp_path}/none.sock"
    async with Tenants(
        Settings.model_validate(
            {"sandbox": True, "sandbox_db": ":memory:", "rate_limit_store": store, "max_recipients_per_hour": 5}
        )
    ) as server:
        await server.api().count_recipients(5)
        with pytest.raises(TooManyRecipients):
            await server.api().count_recipients(1)
