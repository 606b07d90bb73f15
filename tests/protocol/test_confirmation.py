"""Confirmation by the user, with clients of both eras, with and without elicitation."""

import pytest
from mcp.types import InputRequiredResult, InputResponses

from tests.support.agents import Agent
from tests.support.humans import ADDRESS, YES, Desk, Human


async def test_a_delete_asks_first_and_happens_once_when_accepted(desk: Desk, era: str) -> None:
    """The question names the mailbox, and one DELETE follows the user's consent."""
    human = Human("accept")
    async with desk.client(era, human) as client:
        assert (await Agent(client).ask("delete_mailbox", email_address=ADDRESS))["deleted"] is True
    (question,) = human.questions
    assert ADDRESS in question
    assert [request.method for request in desk.requests] == ["DELETE"]


@pytest.mark.parametrize(("answer", "code"), [("decline", "declined"), ("cancel", "cancelled")])
async def test_a_refused_delete_sends_nothing_and_says_so(desk: Desk, era: str, answer: str, code: str) -> None:
    """The model learns that the user did not agree, and that it must not repeat the call."""
    async with desk.client(era, Human(answer)) as client:
        result = await Agent(client).call("delete_mailbox", email_address=ADDRESS)
        assert (result.meta or {})["code"] == code
        assert "Do not call again unless the user asks" in await Agent(client).refused(
            "delete_mailbox", email_address=ADDRESS
        )
    assert desk.requests == []


async def test_setting_and_clearing_a_webhook_asks_and_renaming_does_not(desk: Desk, era: str) -> None:
    """Only a change of where mail events are sent needs the user's consent."""
    human = Human("accept")
    async with desk.client(era, human) as client:
        agent = Agent(client)
        await agent.ask("update_mailbox", email_address=ADDRESS, display_name="Sales")
        assert human.questions == []
        await agent.ask("update_mailbox", email_address=ADDRESS, webhook_url="https://example.com/in")
        await agent.ask("update_mailbox", email_address=ADDRESS, webhook_url=None)
    setting, clearing = human.questions
    assert ADDRESS in setting
    assert "https://example.com/in" in setting
    assert clearing == f"Stop sending the mail events of {ADDRESS} to its webhook?"


async def test_a_client_that_cannot_ask_goes_ahead_unless_it_must_ask(desk: Desk, era: str) -> None:
    """`auto` relies on the client's own warnings, `always` does not."""
    async with desk.client(era, None, confirm="always") as client:
        result = await Agent(client).call("delete_mailbox", email_address=ADDRESS)
        assert (result.meta or {})["code"] == "cannot_ask"
    assert desk.requests == []
    async with desk.client(era, None, confirm="auto") as client:
        await Agent(client).ask("delete_mailbox", email_address=ADDRESS)


async def test_never_asks_nobody(desk: Desk, era: str) -> None:
    """An agent without a user must not be held up by a question."""
    human = Human("decline")
    async with desk.client(era, human, confirm="never") as client:
        await Agent(client).ask("delete_mailbox", email_address=ADDRESS)
    assert human.questions == []


async def test_an_answer_for_one_mailbox_never_counts_for_another(desk: Desk) -> None:
    """The key of an answer depends on the whole question."""
    async with desk.client("auto", Human("accept")) as client:
        session = client.session
        asked = await session.call_tool("delete_mailbox", {"email_address": "other"}, allow_input_required=True)
        assert isinstance(asked, InputRequiredResult)
        (key,) = asked.input_requests or {}
        stolen: InputResponses = {key: YES}
        again = await session.call_tool(
            "delete_mailbox", {"email_address": ADDRESS}, input_responses=stolen, allow_input_required=True
        )
        assert isinstance(again, InputRequiredResult)
    assert desk.requests == []


async def test_bad_arguments_are_refused_before_anybody_is_asked(desk: Desk, era: str) -> None:
    """The user must not be asked about a change that the server would refuse."""
    human = Human("accept")
    async with desk.client(era, human, allow_addresses="help@*") as client:
        await Agent(client).refused("delete_mailbox", email_address="../sales")
        await Agent(client).refused("delete_mailbox", email_address=ADDRESS)
    assert human.questions == []
    assert desk.requests == []
