"""Promise: who waits again with the `after` of the last answer gets each message once, in order, whatever happens."""

from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

import anyio
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkbox_mcp.access.tenants import LOCAL
from inkbox_mcp.api.generations import Generation
from inkbox_mcp.catalogue import GENERATIONS
from inkbox_mcp.sandbox import Store, create_app
from inkbox_mcp.service import Service
from tests.support.alike import BOTH, GENERATIONS_ALIKE, choices
from tests.support.mailroom import Fault, Mail, Mailroom, api_time
from tests.support.time_lapse import TIME_LAPSE
from tests.support.waits import served, wait


@pytest.fixture
def anyio_backend() -> object:
    """Let hours pass at once."""
    return TIME_LAPSE


def mailroom(generation: Generation) -> Mailroom:
    """Make an empty Inkbox."""
    return Mailroom(marks_read=generation == "identity")


def troubles(random: Random, share: float) -> Callable[[httpx2.Request], Fault | None]:
    """Return faults for a share of the requests."""

    async def hang() -> None:
        await anyio.sleep_forever()

    def fault(request: httpx2.Request) -> Fault | None:
        if random.random() > share:
            return None
        return random.choice(
            [
                httpx2.ConnectError("refused"),
                httpx2.ReadError("cut off"),
                httpx2.Response(500, json={"detail": "oops"}),
                httpx2.Response(502, text="<html>Bad gateway</html>"),
                httpx2.Response(503, headers={"Retry-After": "1"}),
                httpx2.Response(429, headers={"Retry-After": "2"}, json={"detail": "slow down"}),
                httpx2.Response(200, text='{"items": ['),
                hang,
            ]
        )

    return fault


async def walk(room: Mailroom, generation: Generation, random: Random) -> list[str]:
    """Wait for one message after another until all were read; end some calls and servers in between."""
    service, read = await served(room, generation), list[str]()
    after = datetime.fromtimestamp(api_time(120) / 1_000_000, UTC).isoformat()
    began = after
    wanted = {mail.id for mail in room.mails["sales"]}
    for _ in range(20 * len(wanted) + 20):
        if random.random() < 0.2:
            service = await served(room, generation)
        data: Any = None
        with anyio.move_on_after(random.choice([100, 100, 100, 0.5, 0])):
            data = await wait(service, after=after, timeout=random.choice([0, 3, 25]))
        await anyio.sleep(random.choice([0, 0, 0.3]))
        if data is None:
            continue
        assert not data["timed_out"] or after == began or data["after"] == after
        after = data["after"]
        if not data["timed_out"]:
            read += [row["id"] for row in data.get("others", [])]  # could not be read, and this is how it is said
            read.append(data["message"]["id"])
            if random.random() < 0.4:
                room.delete(int(read[-1].replace("-", ""), 16))
        if {*read} == wanted:
            break
    room.usual = lambda _: None
    last = await wait(service, after=after, timeout=10)
    assert (last["timed_out"], last.get("others")) == (True, None)
    return read


def burst(random: Random, count: int, *, late: float, wrong: float) -> list[Mail]:
    """Make mail of the next minute, in bursts with equal times.

    Args:
        random: decides.
        count: of messages.
        late: seconds by which it is visible late, at most.
        wrong: the share that has a time of the next hours.
    """
    mails: list[Mail] = []
    while len(mails) < count:
        offset = random.uniform(0, 60)
        for _ in range(random.randint(1, 30)):
            offset += random.choice([0, 0, 0, 0.000001, 0.7])
            mails.append(
                Mail(
                    api_time(-offset - (random.uniform(0, 10_000) if random.random() < wrong else 0)),
                    random.getrandbits(64) << 32 | len(mails),
                    visible=anyio.current_time() + offset + random.uniform(0, late),
                )
            )
    return mails[:count]


@GENERATIONS_ALIKE
@pytest.mark.parametrize("share", choices([0.0, 0.15], {0.0}))
async def test_200_mails_in_bursts_are_read_once_each(generation: Generation, share: float) -> None:
    """Some are visible up to five seconds late, and some requests fail; calls are cancelled and servers restarted."""
    room, random = mailroom(generation), Random(f"{generation} {share}")
    room.receive(*burst(random, 200, late=4.99, wrong=0.05))
    wanted = sorted(mail.id for mail in room.mails["sales"])
    room.usual = troubles(random, share)
    with anyio.fail_after(36_000):
        assert sorted(await walk(room, generation, random)) == wanted


@GENERATIONS_ALIKE
async def test_200_mails_that_are_there_are_read_in_order(generation: Generation) -> None:
    """All have one of few times, so that the ids decide."""
    room, random = mailroom(generation), Random(1)
    for number in range(200):
        room.receive(Mail(api_time(random.randint(1, 4) if number % 2 else 7), random.getrandbits(64) << 32 | number))
    ordered = sorted(room.mails["sales"], key=lambda mail: (mail.created, mail.id))
    assert await walk(room, generation, random) == [mail.id for mail in ordered]


@settings(max_examples=15)
@given(st.integers(0, 2**32), st.integers(1, 25), st.sampled_from([0.0, 0.2, 0.5]), st.sampled_from(GENERATIONS))
async def test_any_mail_is_read_once(seed: int, count: int, share: float, generation: Generation) -> None:
    """The same with other mail and other faults each time."""
    room, random = mailroom(generation), Random(seed)
    room.receive(*burst(random, count, late=4.99, wrong=random.choice([0, 0.3])))
    wanted = sorted(mail.id for mail in room.mails["sales"])
    room.usual = troubles(random, share)
    assert sorted(await walk(room, generation, random)) == wanted


@pytest.mark.parametrize("delay", [0, 1.0, 1.9, 2.5, 3.1])
async def test_a_wait_answers_also_if_nothing_else_does(delay: float) -> None:
    """At the end of its time a message is being read; then its flag is set back, and spam asked for, in vain."""

    async def fail_late() -> httpx2.Response:
        await anyio.sleep(delay)
        return httpx2.Response(500, json={"detail": "oops"})

    def fault(request: httpx2.Request) -> Fault | None:
        if request.method == "GET" and request.url.path.endswith("/messages"):
            return None
        return fail_late if request.method == "GET" and "/messages/" in request.url.path else anyio.sleep_forever

    room = mailroom("identity")
    room.receive(Mail(api_time(1), 1, "Code"))
    room.usual = fault
    service, began = await served(room, "identity"), anyio.current_time()
    assert (await wait(service, timeout=0))["timed_out"]
    assert anyio.current_time() - began < 10


async def test_a_message_that_becomes_visible_late_is_found_in_the_same_call() -> None:
    """Meanwhile, more messages came than a look asks for, so that it is on no first page."""
    room = mailroom("spec")
    now = anyio.current_time()
    room.receive(*(Mail(api_time(), number, "Noise", visible=now + 2) for number in range(50, 80)))
    room.receive(Mail(api_time(2), 7, "Code", visible=now + 3))
    assert (await wait(await served(room), subject="code"))["message"]["id"] == room.mails["sales"][-1].id
    assert anyio.current_time() - now < 6


async def test_a_filter_that_is_corrected_after_a_time_out_misses_nothing() -> None:
    """The position has not moved past the others; and these say what was wrong."""
    room = mailroom("identity")
    room.receive(
        *(Mail(api_time(90 - number), number, "Your code", sender="no-reply@hub.example") for number in range(9))
    )
    room.receive(Mail(api_time(1), 99, "You won", folder="spam"))
    service = await served(room, "identity")
    missed = await wait(service, sender="github", timeout=3)
    assert [row["subject"] for row in missed["others"]] == ["Your code"] * 4 + ["You won"]
    assert missed["others"][-1]["folder"] == "spam"
    assert all(row["unread"] for row in missed["others"])
    found = await wait(service, sender="hub.example", after=missed["after"])
    assert found["message"]["id"] == room.mails["sales"][0].id


async def test_what_comes_before_the_call_counts_by_the_clock_of_the_api() -> None:
    """A machine's clock can be wrong by years; what is older than two minutes is no news."""
    for ago, is_new in ((119, True), (122, False)):
        room = mailroom("spec")
        room.receive(Mail(api_time(ago), 1))
        service = await served(room)
        seen: list[bool] = []

        async def look(service: Service = service, seen: list[bool] = seen) -> None:
            seen.append((await wait(service, timeout=0))["timed_out"])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(look)
            tasks.start_soon(look)  # asks for nothing itself, and so has seen no date
        assert room.polls().total() == 1
        assert seen == [not is_new] * 2


async def test_a_message_that_is_deleted_before_it_is_read_is_passed_over() -> None:
    """The next one is the answer, and the deleted one is not among the others."""
    room = mailroom("spec")
    room.receive(Mail(api_time(2), 1), Mail(api_time(1), 2))

    def gone(request: httpx2.Request) -> Fault | None:
        return httpx2.Response(404, json={"detail": "Message not found"}) if request.url.path.endswith("1") else None

    room.usual = gone
    assert (await wait(await served(room)))["message"]["id"] == room.mails["sales"][1].id
    room.delete(2)
    assert "others" not in await wait(await served(room), timeout=0)


@BOTH
async def test_a_message_that_is_too_large_does_not_stop_the_others(generation: Generation) -> None:
    """It is shown without its text; where its text is what counts, it is one of the others."""
    room = mailroom(generation)
    room.receive(Mail(api_time(2), 1, text="x" * 11_000_000), Mail(api_time(1), 2, text="the code"))
    service = await served(room, generation)
    first = await wait(service)
    assert (first["message"]["id"], first["message"]["snippet"]) == (room.mails["sales"][0].id, "x" * 79 + "…")
    assert first["note"] == "The message is too large for this server to read, so its text is not shown."
    second = await wait(service, after=first["after"])
    assert (second["message"]["id"], "note" in second) == (room.mails["sales"][1].id, False)
    found = await wait(service, contains="code")
    assert found["message"]["id"] == room.mails["sales"][1].id
    assert [row["id"] for row in found["others"]] == [room.mails["sales"][0].id]
    assert "larger than" in found["note"]


@BOTH
@pytest.mark.parametrize("status", [500, 403])
@pytest.mark.parametrize("seconds", [0, 1, 25])
async def test_a_message_that_cannot_be_read_holds_up_no_later_one(
    generation: Generation, status: int, seconds: int
) -> None:
    """It is among the others, with a note, and once only; also if nothing matches."""
    room = mailroom(generation)
    room.receive(Mail(api_time(9), 1, "Broken"), Mail(api_time(1), 2, text="the code"))
    room.receive(*(Mail(api_time(1), number) for number in range(0x22, 0x2A)))

    def fault(request: httpx2.Request) -> Fault | None:
        return httpx2.Response(status, json={"detail": "oops"}) if request.url.path.endswith("1") else None

    room.usual = fault
    service = await served(room, generation)
    missed = await wait(service, contains="no such words", timeout=seconds)
    assert [row["subject"] for row in missed["others"]] == ["Broken", *["Hello"] * 4]
    assert missed["note"].startswith("1 of the new messages could not be read, and are among others: ")
    data = await wait(service, contains="code", timeout=seconds, after=missed["after"])
    assert data["message"]["id"] == room.mails["sales"][1].id
    assert [row["subject"] for row in data["others"]] == ["Broken"]
    assert "oops" in data["note"]
    assert "note" not in await wait(service, timeout=seconds, after=data["after"])


async def test_a_message_that_fails_once_is_the_answer() -> None:
    """Neither is a later one returned before it, nor is it said to be broken."""
    room = mailroom("spec")
    room.receive(Mail(api_time(9), 1), Mail(api_time(1), 2))
    failures = [httpx2.Response(500, json={"detail": "oops"})]
    room.usual = lambda request: failures.pop() if failures and request.url.path.endswith("1") else None
    data = await wait(await served(room), timeout=0)
    assert data["message"]["id"] == room.mails["sales"][0].id
    assert "note" not in data


@BOTH
@pytest.mark.parametrize("seconds", [0, 1, 25])
async def test_any_number_of_messages_that_cannot_be_read_hold_up_no_later_one(
    generation: Generation, seconds: int
) -> None:
    """The note counts them, and a match after them is returned after some seconds."""
    room = mailroom(generation)
    room.receive(*(Mail(api_time(60 - number), number, "Broken") for number in range(1, 31)), Mail(api_time(1), 99))

    def fault(request: httpx2.Request) -> Fault | None:
        is_broken = "/messages/" in request.url.path and not request.url.path.endswith(room.mails["sales"][-1].id)
        return httpx2.Response(500, json={"detail": "oops"}) if is_broken else None

    room.usual = fault
    service, began = await served(room, generation), anyio.current_time()
    data = await wait(service, timeout=seconds)
    assert anyio.current_time() - began < 5
    assert data["message"]["id"] == room.mails["sales"][-1].id
    assert data["note"].startswith(
        "30 of the new messages could not be read, and the newest 25 of them are among others"
    )
    assert len(data["others"]) == 25
    assert (await wait(service, after=data["after"], timeout=0))["timed_out"]


@BOTH
async def test_a_message_that_fails_for_a_while_is_the_answer(generation: Generation) -> None:
    """A later one that matches is not returned before it, and stays unread meanwhile."""
    room = mailroom(generation)
    room.receive(Mail(api_time(9), 1), Mail(api_time(1), 2))
    failures = [httpx2.Response(500, json={"detail": "oops"}) for _ in range(4)]
    room.usual = lambda request: (
        failures.pop() if failures and request.method == "GET" and request.url.path.endswith("1") else None
    )
    service = await served(room, generation)
    data = await wait(service)
    assert (data["message"]["id"], failures, "note" in data) == (room.mails["sales"][0].id, [], False)
    assert not room.mails["sales"][1].is_read
    data = await wait(service, after=data["after"])
    assert data["message"]["id"] == room.mails["sales"][1].id
    assert room.mails["sales"][1].is_read == (generation == "identity")


async def test_a_row_without_an_id_is_passed_over() -> None:
    """Nothing can be asked about it."""
    room = mailroom("spec")
    room.receive(mail := Mail(api_time(1), 2))

    def fault(request: httpx2.Request) -> Fault | None:
        rows = [{**mail.row(), "id": None}, mail.row()]
        return httpx2.Response(200, json={"items": rows}) if "limit" in str(request.url) else None

    room.usual = fault
    assert (await wait(await served(room), timeout=0))["message"]["id"] == mail.id
    assert not any("None" in path for _, _, _, path in room.asked)


async def test_more_than_can_be_read_is_said() -> None:
    """Two thousand messages and more are not read at once."""
    room = mailroom("spec")
    room.receive(*(Mail(api_time(100) + number, number) for number in range(2100)))
    data = await wait(await served(room))
    assert data["note"] == "More than 2,000 messages are newer than after, and the oldest of them were skipped."


async def test_a_time_that_is_still_to_come_is_said() -> None:
    """Nobody waits for mail of another year; a clock may be wrong by some seconds."""
    service = await served(mailroom("spec"))
    for ago, is_said in ((-3600, True), (-20, False), (20, False)):
        after = datetime.fromtimestamp(api_time(ago) / 1_000_000, UTC).isoformat()
        data = await wait(service, after=after, timeout=1)
        assert ("`after` is later than now" in data.get("note", "")) == is_said


@BOTH
async def test_mail_of_a_time_to_come_hides_no_later_mail(generation: Generation) -> None:
    """It fills the first page of each look, because a clock was wrong by an hour; it is read once itself."""
    room = mailroom(generation)
    room.receive(*(Mail(api_time(-3600 - number), number) for number in range(15)))
    service, read = await served(room, generation), list[str]()
    data: Any = {"after": None, "timed_out": False}
    while not data["timed_out"]:
        data = await wait(service, after=data["after"], timeout=5)
        read += [data["message"]["id"]] if "message" in data else []
        if len(room.mails["sales"]) < 25:
            room.receive(Mail(api_time(), len(room.mails["sales"]), visible=anyio.current_time() + 2))
    assert sorted(read) == sorted(mail.id for mail in room.mails["sales"])


@pytest.mark.parametrize("after", ["0001-01-01", "9999-12-31T23:59:59Z", "2026-05-31"])
async def test_every_time_can_be_where_a_wait_begins(after: str) -> None:
    """What comes back is accepted again."""
    service = await served(mailroom("spec"))
    data = await wait(service, after=after, timeout=0)
    assert (await wait(service, after=data["after"], timeout=0))["after"] == data["after"]


@BOTH
async def test_the_sandboxs_mail_is_read_once_each(generation: Generation) -> None:
    """Its ids and times are not made by a test."""
    with Store(":memory:") as store:
        app = httpx2.ASGITransport(create_app(store, generation))
        service = await served(app.handle_async_request, generation)
        make = service.catalogues.of(generation).tools["create_identity"]
        local = {"mailbox_local_part": "sales"} if generation == "spec" else {}
        await service.call(make, {"agent_handle": "sales", **local}, LOCAL)
        sent = [
            store.deliver(f"From: a@example.com\r\nTo: sales@inkboxmail.com\r\nSubject: {n}\r\n\r\nHello".encode())[0]
            for n in range(30)
        ]
        after, read = None, list[str]()
        while not (data := await wait(service, after=after, timeout=0))["timed_out"]:
            read.append(data["message"]["id"])
            after = data["after"]
        assert sorted(read) == sorted(next(iter(ids.values())) for ids in sent)
