"""Promise: a wait holds nothing while nothing happens, ends in time, and leaves unread what it does not return."""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import anyio
import httpx2
import pytest

from inkbox_mcp.access.tenants import LOCAL, Caller
from inkbox_mcp.api.generations import Generation
from tests.support.alike import BOTH, choices
from tests.support.mailroom import Fault, Mail, Mailroom, api_time
from tests.support.time_lapse import TIME_LAPSE
from tests.support.waits import answered, served, wait


@pytest.fixture
def anyio_backend() -> object:
    """Let hours pass at once."""
    return TIME_LAPSE


async def hang() -> None:
    """Answer nothing."""
    await anyio.sleep_forever()


async def many(count: int, call: Callable[[int], Any]) -> list[Any]:
    """Make calls side by side and return their results."""
    results: list[Any] = []

    async def one(number: int) -> None:
        results.append(await call(number))

    async with anyio.create_task_group() as tasks:
        for number in range(count):
            tasks.start_soon(one, number)
    return results


def pauses(room: Mailroom, mailbox: str) -> list[float]:
    """Return the seconds between the polls of a mailbox."""
    polls = [moment for moment, _, _, path in room.asked if f"/{mailbox}/" in path and "limit=10" in path]
    return [later - earlier for earlier, later in pairwise(polls)]


@pytest.mark.parametrize("boxes", choices([30, 100], {100}))
async def test_ten_waits_for_each_of_many_mailboxes_make_one_poll_at_a_time_each(boxes: int) -> None:
    """All of them get their answer, and the message is asked for by each, since each may want another one."""
    room = Mailroom()
    service = await served(room, max_waits=1000)
    for number in range(boxes):
        room.receive(Mail(api_time(-10), 1, visible=anyio.current_time() + 10), mailbox=f"box-{number}")
    found = await many(10 * boxes, lambda number: wait(service, email_address=f"box-{number % boxes}"))
    assert not any(data["timed_out"] for data in found)
    assert {*room.polls().values()} == {6}
    assert min(min(pauses(room, f"box-{number}")) for number in range(boxes)) >= 1


async def test_a_mailbox_is_polled_once_however_it_is_named() -> None:
    """By its address, or by the part before the @; another domain is another mailbox."""
    names = ["sales", "Sales@inkboxmail.com", "sales@example.com"]
    service = await served(room := Mailroom())
    await many(9, lambda number: wait(service, email_address=names[number % 3], timeout=10))
    assert room.polls().total() == 2 * 5


async def test_calls_that_begin_all_the_time_poll_no_more_often() -> None:
    """A new call may ask sooner than the pause that is reached, but never within a second."""
    room = Mailroom()
    service = await served(room, max_waits=1000)

    async def late(number: int) -> Any:
        await anyio.sleep(number / 10)
        return await wait(service, timeout=2 + number % 5)

    assert all(data["timed_out"] for data in await many(300, late))
    assert min(pauses(room, "sales")) >= 1


async def test_a_wait_that_ends_stops_no_other_one() -> None:
    """The first one makes the requests; it is cancelled while one is under way."""
    service = await served(room := Mailroom(faults=[hang]))
    ended: list[Any] = []

    async def follow() -> None:
        ended.append(await wait(service))

    async with anyio.create_task_group() as tasks:
        scope = anyio.CancelScope()

        async def lead() -> None:
            with scope:
                await wait(service)

        tasks.start_soon(lead)
        await anyio.sleep(0.2)
        tasks.start_soon(follow)
        await anyio.sleep(0.2)
        room.receive(Mail(api_time(), 1))
        scope.cancel()
    assert [data["message"]["id"] for data in ended] == [Mail(1, 1).id]
    assert pauses(room, "sales") == [1]


async def test_waits_with_different_keys_share_nothing() -> None:
    """Two organizations can have mailboxes of the same name."""
    room = Mailroom()
    service = await served(room, per_request_keys=True, http=True)
    keys = [f"ApiKey_{number:08d}-1111-4111-8111-111111111111.secret" for number in range(3)]
    await many(9, lambda number: wait(service, Caller((keys[number % 3],)), timeout=10))
    assert room.polls() == Counter({f"{key} sales": 5 for key in keys})


async def test_between_polls_a_wait_holds_neither_a_turn_nor_a_connection() -> None:
    """Where one request may be under way at a time, other calls are answered while many wait."""
    room = Mailroom()
    service = await served(room, max_concurrency=1)
    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(lambda number=number: wait(service, email_address=f"box-{number}"))
        await anyio.sleep(0.5)
        tool = service.catalogues.of("spec").tools["get_message"]
        began = anyio.current_time()
        await service.call(tool, {"email_address": "sales", "message_id": str(Mail(1, 1).id)}, LOCAL)
        assert anyio.current_time() == began
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("stalls", [False, True])
async def test_a_server_that_stops_answers_at_once(stalls: bool) -> None:
    """Also while a request is under way that gets no answer. The answer says where to go on."""
    room = Mailroom()
    service = await served(room)
    room.receive(Mail(api_time(1), 1, "Other"))

    async def stop() -> None:
        await anyio.sleep(4)
        room.usual = lambda _: hang if stalls else None
        await anyio.sleep(4)
        service.ending.set()

    began, ended = anyio.current_time(), list[Any]()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stop)
        ended = await many(30, lambda _: wait(service, subject="code", timeout=50))
    assert anyio.current_time() == began + 8
    assert all(data["timed_out"] and data["after"] for data in ended)
    assert all(len(data["others"]) == 1 for data in ended)


async def test_progress_is_reported_once_per_poll() -> None:
    """It grows, and says what has come."""
    room = Mailroom()
    room.receive(Mail(api_time(-2), 1, visible=anyio.current_time() + 2))
    reports: list[tuple[float, float | None, str | None]] = []

    async def report(done: float, total: float | None = None, message: str | None = None) -> None:
        reports.append((done, total, message))

    await wait(await served(room), report=report, subject="code", timeout=10)
    assert len(reports) == room.polls().total() == 5
    assert all(earlier[0] < later[0] for earlier, later in pairwise(reports))
    assert {total for _, total, _ in reports} == {10}
    assert [message for _, _, message in reports[1:3]] == ["no such mail yet", "no such mail yet, 1 others came"]


async def test_a_cancelled_wait_ends_at_once() -> None:
    """Whether it pauses or asks."""
    for fault in (None, hang):
        service, began = await served(Mailroom(usual=lambda _, fault=fault: fault)), anyio.current_time()
        with anyio.move_on_after(1.7):
            await wait(service)
        assert anyio.current_time() == began + 1.7


@BOTH
@pytest.mark.parametrize("options", [{}, {"read_only": True}])
async def test_what_was_read_for_nothing_is_unread_again(generation: Generation, options: dict[str, Any]) -> None:
    """Only the message that is returned is read, where reading it marks it so."""
    room = Mailroom(marks_read=generation == "identity")
    room.receive(Mail(api_time(3), 1), Mail(api_time(2), 2, is_read=True), Mail(api_time(1), 3, text="The code"))
    service = await served(room, generation, **options)
    assert (await wait(service, contains="nothing like it", timeout=2))["timed_out"]
    assert [mail.is_read for mail in room.mails["sales"]] == [False, True, False]
    assert (await wait(service, contains="code"))["message"]["id"] == room.mails["sales"][-1].id
    assert [mail.is_read for mail in room.mails["sales"]] == [False, True, generation == "identity"]
    assert generation == "identity" or not any(method == "PATCH" for _, _, method, _ in room.asked)


@BOTH
async def test_waits_for_words_read_each_message_once(generation: Generation) -> None:
    """It is set back to unread once, too."""
    room = Mailroom(marks_read=generation == "identity")
    room.receive(*(Mail(api_time(9 - number), number) for number in range(9)))
    service = await served(room, generation)
    assert all(data["timed_out"] for data in await many(50, lambda number: wait(service, contains=f"no {number}")))
    asked = Counter(method for _, _, method, path in room.asked if f"messages/{Mail(0, 0).id[:8]}" in path)
    assert asked == {"GET": 9, **({"PATCH": 9} if generation == "identity" else {})}
    assert not any(mail.is_read for mail in room.mails["sales"])


@pytest.mark.parametrize("order", [("nothing", "code"), ("code", "nothing"), ("nothing", None), (None, "nothing")])
@pytest.mark.parametrize("text", ["The code", "The code " * 30_000])
async def test_what_one_of_two_waits_returns_stays_read(order: tuple[str | None, str | None], text: str) -> None:
    """The other one looks at the same message for nothing, before or after it."""
    room = Mailroom(marks_read=True)
    room.receive(Mail(api_time(1), 1, text=text))
    service = await served(room, "identity")
    found = await many(2, lambda number: wait(service, contains=order[number], timeout=3))
    assert sorted(data["timed_out"] for data in found) == [False, True]
    assert room.mails["sales"][0].is_read


@pytest.mark.parametrize(
    ("tool", "named"), [("get_message", "message_id"), ("get_thread", "thread_id")], ids=["message", "thread"]
)
@pytest.mark.parametrize("is_late", [False, True], ids=["before", "meanwhile"])
async def test_what_another_call_shows_stays_read(tool: str, named: str, is_late: bool) -> None:
    """A wait has read the message for nothing, and sets it back to unread before or while the other call reads it."""
    room = Mailroom(marks_read=True)
    room.receive(mail := Mail(api_time(1), 1))
    service = await served(room, "identity")

    async def show() -> None:
        arguments = {"email_address": "sales", named: mail.id}
        await service.call(service.catalogues.of("identity").tools[tool], arguments, LOCAL)

    async def interrupt() -> None:
        room.usual = lambda _: None
        tasks.start_soon(show)
        await anyio.sleep(0.1)

    # The list says that it is unread; the other call is made before it is read, or before it is set back.
    method = "PATCH" if is_late else "GET"
    room.usual = lambda request: (
        interrupt if request.method == method and request.url.path.endswith(f"/messages/{mail.id}") else None
    )
    async with anyio.create_task_group() as tasks:
        assert (await wait(service, contains="nothing like it", timeout=2))["timed_out"]
    assert mail.is_read


@pytest.mark.parametrize("contains", [None, "code"])
async def test_a_message_is_unread_again_if_the_wait_ends_before_it_is_returned(contains: str | None) -> None:
    """The call is cancelled after the API has marked it read, and before its answer arrives."""
    room = Mailroom(marks_read=True)
    room.receive(mail := Mail(api_time(1), 1, text="The code"))

    async def stall() -> None:
        mail.is_read = True
        await anyio.sleep_forever()

    room.usual = lambda request: stall if request.method == "GET" and request.url.path.endswith("1") else None
    service = await served(room, "identity")
    with anyio.move_on_after(2):
        await wait(service, contains=contains)
    assert not mail.is_read
    data = await wait(service, contains=contains, timeout=5)
    assert data["timed_out"]
    assert not mail.is_read
    room.usual = lambda _: None
    assert (await wait(service, contains=contains, after=data["after"]))["message"]["id"] == mail.id


@BOTH
async def test_a_wait_of_no_seconds_looks_once(generation: Generation) -> None:
    """Also if the API is slow."""
    room = Mailroom()

    async def slow() -> None:
        await anyio.sleep(2)

    for fault in (None, slow):
        room.usual = lambda request, fault=fault: fault if "limit=10" in str(request.url) else None
        service = await served(room, generation)
        room.asked.clear()
        assert "note" not in await wait(service, timeout=0)
        assert room.polls().total() == 1
    room.receive(Mail(api_time(1), 1))
    assert not (await wait(service, timeout=0))["timed_out"]


FAILURES: dict[str, Callable[[], Fault]] = {
    "hangs": lambda: hang,
    "refused": lambda: httpx2.ConnectError("refused"),
    "cut off": lambda: httpx2.ReadError("cut off"),
    "500": lambda: httpx2.Response(500, json={"detail": "oops"}),
    "503": lambda: httpx2.Response(503, json={"detail": "maintenance"}),
    "429": lambda: httpx2.Response(429, headers={"Retry-After": "3600"}, json={"detail": "slow down"}),
    "no JSON": lambda: httpx2.Response(200, text="<html>"),
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("seconds", [0, 7, 50])
@pytest.mark.parametrize("good", [0, 2])
async def test_a_time_out_is_a_result_in_time(failure: str, seconds: int, good: int) -> None:
    """It says that the mailbox could not be read, and where to go on."""
    room = Mailroom()
    left = good
    room.receive(Mail(api_time(1), 1, "Other"))

    def fault(_: httpx2.Request) -> Fault | None:
        nonlocal left
        left -= 1
        return None if left >= 0 else FAILURES[failure]()

    room.usual = fault
    began = anyio.current_time()
    data = await wait(await served(room), timeout=seconds, subject="code")
    assert anyio.current_time() - began <= seconds + 5
    assert data["timed_out"]
    assert data["after"].startswith("p")
    if seconds or not good:
        assert data["note"].startswith("The mailbox could not be read at the end, so mail may have come: ")


async def test_a_wait_that_may_not_look_says_so() -> None:
    """The API asked an earlier call for patience, so that this one asks for nothing, not even for spam."""
    slow_down = httpx2.Response(429, headers={"Retry-After": "30"}, json={"detail": "slow down"})
    room = Mailroom(faults=[slow_down])
    service = await served(room)
    await wait(service, timeout=1)
    asked = len(room.asked)
    data = await wait(service, timeout=1)
    assert data["timed_out"]
    assert data["note"].startswith("The mailbox could not be read at the end, so mail may have come: ")
    assert "429" in data["note"]
    assert len(room.asked) == asked


async def test_one_failure_at_the_end_or_in_between_is_no_failure_of_the_wait() -> None:
    """The next look succeeds."""
    room = Mailroom(faults=[httpx2.Response(503), httpx2.ReadError("cut off"), httpx2.Response(500)])
    room.receive(Mail(api_time(1), 1))
    assert not (await wait(await served(room)))["timed_out"]


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_what_waiting_does_not_mend_ends_the_wait(status: int) -> None:
    """All waits for the mailbox get the error."""
    room = Mailroom(usual=lambda _: httpx2.Response(status, json={"detail": "No"}))
    service, began = await served(room), anyio.current_time()
    answers = await many(5, lambda _: answered(service))
    assert [(answer.meta or {})["status"] for answer in answers] == [status] * 5
    assert anyio.current_time() == began


@BOTH
@pytest.mark.parametrize("limits", [{"allow_addresses": ["sales@inkboxmail.com"]}, {"allow_handles": ["none"]}])
async def test_a_pinned_server_waits_only_for_its_own_mail(generation: Generation, limits: dict[str, Any]) -> None:
    """A refused wait sends nothing about the mailbox, as a refused reading sends nothing."""
    room = Mailroom()
    room.usual = lambda request: httpx2.Response(200, json=[]) if request.url.path.endswith("/identities") else None
    service = await served(room, generation, **limits)
    for tool in ("wait_for_message", "get_message"):
        operation = service.catalogues.of(generation).tools[tool]
        given = {"email_address": "billing", **({} if "wait" in tool else {"message_id": Mail(1, 1).id})}
        answer: Any = await service.call(operation, given, LOCAL)
        assert answer.meta["code"] == "not_allowed", answer.text
    assert not any("billing" in path for _, _, _, path in room.asked)
