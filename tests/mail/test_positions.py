"""Where a reader has come to in a mailbox."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkbox_mcp.mail.positions import LATE, MOST, MOST_AHEAD, Position, created, in_order, moment

START = 1_780_000_000_000_000
LAST = 253_402_300_799_000_000  # of the year 9999: no later time can be written
Message = dict[str, Any]


def message(time: int, number: object) -> Message:
    """Return a message as a list shows it; a number becomes an id."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time)
    return {"id": str(UUID(int=number)) if isinstance(number, int) else number, "created_at": at.isoformat()}


TIMES = st.one_of(st.integers(0, 20), st.integers(0, 20_000_000)).map(lambda time: START + time)
MESSAGES = st.builds(message, TIMES, st.integers(0, 1000))
ANY_MESSAGE = st.builds(
    message, st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999), st.one_of(st.text(), st.integers(0, 9))
)


def read_all(position: Position, messages: list[Message]) -> tuple[Position, list[str]]:
    """Read all new messages in order, each time from the position's text."""
    read: list[str] = []
    while new := sorted(filter(position.is_new, messages), key=in_order):
        read.append(new[0]["id"])
        position = Position.parse(str(position.after(new[0])))
    return position, read


@given(
    st.lists(ANY_MESSAGE, max_size=30),
    st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999),
    st.none() | st.integers(0, 253_402_300_799_999_999),
)
def test_what_is_written_is_read(messages: list[Message], start: int, now: int | None) -> None:
    """A message that was read is never new again, whatever its time and its id."""
    position = Position.at(start)
    for each in messages:
        position = position.after(each, now)
        assert Position.parse(str(position)) == position
        assert not position.is_new(each)


@given(
    st.text()
    | st.from_regex(
        r"p-?[0-9]{1,20}(-[0-9]{1,9})?(\.[A-Za-z0-9_-]*)?(\.\.[A-Za-z0-9_-]*)?(\.\.\.[A-Za-z0-9_-]*)?", fullmatch=True
    )
)
def test_no_text_is_read_wrongly(text: str) -> None:
    """What is no position is refused as such. What is one can be written, and used."""
    assert moment(text) is None or isinstance(moment(text), int)
    try:
        position = Position.parse(text)
    except ValueError:
        return
    assert Position.parse(str(position)) == position
    new = message(min(max(position.time, START), LAST), "a")
    assert not position.after(new).is_new(new)


@pytest.mark.parametrize(
    "text", ["", "p", "q1", "p1\n", "p١", "p1.A", "p1.AAAA", "p1..__8", "p1...AAAA", "p1 ", "P1", "p" + 19 * "9"]
)
def test_damaged_texts_are_refused(text: str) -> None:
    """Models shorten what they copy."""
    with pytest.raises(ValueError):
        Position.parse(text)


@given(st.lists(MESSAGES, max_size=60, unique_by=lambda each: each["id"]))
def test_each_message_is_read_once_and_in_order(messages: list[Message]) -> None:
    """Many have the same time."""
    position, read = read_all(Position.at(START), messages)
    assert read == [each["id"] for each in sorted(messages, key=in_order)]
    assert not any(map(position.is_new, messages))


@given(
    st.lists(st.tuples(TIMES, st.integers(0, LATE), st.booleans()), max_size=40, unique=True),
)
def test_late_messages_are_read_and_deleted_ones_change_nothing(mails: list[tuple[int, int, bool]]) -> None:
    """A message is visible up to five seconds after its time; some are deleted once they were read."""
    messages = [message(time, number) for number, (time, _, _) in enumerate(mails)]
    position, read = Position.at(START), list[str]()
    for now in sorted({time + late for time, late, _ in mails}):
        shown = [
            each
            for each, (time, late, is_deleted) in zip(messages, mails, strict=True)
            if time + late <= now and not (is_deleted and each["id"] in read)
        ]
        position, some = read_all(position, shown)
        read += some
    assert sorted(read) == sorted(each["id"] for each in messages)


@pytest.mark.parametrize("step", [0, 1, 1000, 20_000])
def test_a_crowd_within_five_seconds_is_read_once(step: int) -> None:
    """A position does not name all of them, and stays short."""
    messages = [message(START + number * step, number) for number in range(3 * MOST)]
    position = Position.at(START)
    for each in messages:
        assert position.is_new(each)
        position = Position.parse(str(position.after(each)))
        assert len(str(position)) < 4000
    assert not any(map(position.is_new, messages))


@settings(max_examples=20)
@given(st.randoms(use_true_random=False), st.integers(1, 4))
def test_nothing_is_read_twice_whatever_the_order(random: Random, times: int) -> None:
    """In a crowd, messages may also come late."""
    messages = [message(START + number % times, number) for number in range(2 * MOST)]
    random.shuffle(messages)
    position = Position.at(START)
    for each in messages:
        position = position.after(each) if position.is_new(each) else position
        assert not position.is_new(each)
    assert not any(map(position.is_new, messages))


@given(
    st.lists(st.tuples(TIMES, st.integers(1, 10**13) | st.none()), max_size=MOST_AHEAD, unique=True),
    st.integers(0, 10**6),
)
def test_a_time_that_is_still_to_come_hides_no_mail(mails: list[tuple[int, int | None]], behind: int) -> None:
    """Each message is read once when it is there, whatever it says about its time; also when that time has come."""
    messages = [message(time + (wrong or 0), number) for number, (time, wrong) in enumerate(mails)]
    position, read = Position.at(START), list[str]()
    for now in sorted({time for time, _ in mails} | {START + 10**7 * step for step in (3, 5, 10**6, 2 * 10**6)}):
        shown = [each for each, (time, _) in zip(messages, mails, strict=True) if time <= now]
        while new := sorted(filter(position.is_new, shown), key=in_order):
            read.append(new[0]["id"])
            position = Position.parse(str(position.after(new[0], now - behind)))
            assert position.time <= now
    assert sorted(read) == sorted(each["id"] for each in messages)


def test_a_position_stays_short_beside_many_times_to_come() -> None:
    """More of them than it can name move it on, so that none is read again and again."""
    position, wrong = Position.at(START), [message(START + 10**12 + number, number) for number in range(2 * MOST_AHEAD)]
    for number in range(2 * MOST):
        position = position.after(message(START, f"{number:04}" + "\U0001f600" * 5000), START)
    for each in wrong:
        assert position.is_new(each)
        position = Position.parse(str(position.after(each, START)))
        assert len(str(position)) < 4000
    assert not any(map(position.is_new, wrong))


def test_a_message_that_was_ahead_is_forgotten_when_its_time_has_come() -> None:
    """Then the position names it no longer."""
    position = Position.at(START).after(message(START + LATE, 1), START)
    assert position.ahead
    assert not position.after(message(START + 3 * LATE, 2), START + 4 * LATE).ahead


def test_the_longest_ids_fit() -> None:
    """A token stays short, whatever the API sends as an id."""
    position = Position.at(START)
    for number in range(2 * MOST):
        position = position.after(message(START, f"{number:04}" + "\U0001f600" * 5000))
        assert len(str(position)) < 4000
        assert Position.parse(str(position)) == position


def test_a_message_without_a_time_is_never_new() -> None:
    """It has no place in the order."""
    some: list[Message] = [{}, {"id": "a", "created_at": None}, {"id": "a", "created_at": "soon"}, {"created_at": [1]}]
    for damaged in some:
        assert created(damaged) == 0
        assert not Position.at(START).is_new(damaged)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000),
        ("1970-01-01T02:00:00+02:00", 0),
        ("1970-01-01 00:00:00.000001", 1),
        ("1970-01-02", 86_400_000_000),
        ("0001-01-01", -62_135_596_800_000_000),
        ("9999-12-31T23:59:59.999999-23:59", 253_402_387_139_999_999),
    ],
)
def test_times_are_read_as_utc(text: str, time: int) -> None:
    """A position at any of them can be written."""
    assert moment(text) == time
    assert Position.parse(str(Position.at(time))) == Position.at(time)


@pytest.mark.parametrize(
    "text", ["yesterday", "", "12:00", "2026-13-01", "2026-05-31T18:00:00+99:00", "\ud800", None, 7]
)
def test_what_is_no_time_is_none(text: object) -> None:
    """Nothing is guessed."""
    assert moment(text) is None
