"""The tour for new users."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inkbox_mcp.commands.demo import STEPS, Step, play
from tests.support.processes import run


async def test_the_tour_shows_every_call_and_answer_and_ends_with_status_0(tmp_path: Path) -> None:
    """The tour uses its own sandbox, so it does not create or change the user's files."""
    status, stdout, stderr = await run("demo", home=tmp_path)
    assert (status, stderr) == (0, "")
    for number, step in enumerate(STEPS, start=1):
        assert f"{number}. {step.says}\n   → {step.tool} " in stdout
    assert stdout.count("   ← ") == len(STEPS)
    assert stdout.count("← error: ") == 2
    assert f"All {len(STEPS)} calls went as expected." in stdout
    assert not (tmp_path / ".inkbox").exists()


def test_the_tour_calls_every_mailbox_tool() -> None:
    """The tour also shows two expected errors: a second create, and a deleted mailbox."""
    assert [step.tool.removesuffix("_mailbox") for step in STEPS] == [
        *("create", "create", "list_mailboxes", "get", "update", "update", "update", "delete", "get"),
    ]


CREATE, AGAIN, *_, GONE = STEPS


def never(_: dict[str, Any]) -> bool:
    """Fail every check."""
    return False


@pytest.mark.parametrize(
    "wrong",
    [
        replace(CREATE, check=never),
        replace(GONE, error=None),
    ],
    ids=["another result", "an error"],
)
async def test_a_step_that_answers_otherwise_stops_the_tour_with_status_1(
    wrong: Step, capsys: pytest.CaptureFixture[str]
) -> None:
    """A new user must not see a failed step presented as a success."""
    assert await play((wrong, AGAIN)) == 1
    shown = capsys.readouterr().out
    assert "That is not what should have happened" in shown
    assert "2. " not in shown
