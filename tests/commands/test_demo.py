"""The tour for new users."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inkbox_mcp.commands.demo import play
from inkbox_mcp.commands.tour import CODE, LIFE, LINK, MAIL, OTHER, SIGN_UP, STEPS, Step
from tests.support.processes import run

README = Path(__file__).parent.parent.parent / "README.md"


async def test_the_tour_shows_every_call_and_answer_and_ends_with_status_0(tmp_path: Path) -> None:
    """The tour uses its own sandbox, so it does not create or change the user's files.

    README shows the same, with parts left out where it has dots.
    """
    status, stdout, stderr = await run("demo", home=tmp_path)
    assert (status, stderr) == (0, "")
    printed = " ".join(stdout.split())
    for part in filter(
        str.strip, README.read_text(encoding="utf-8").split("\n```text\n", 1)[1].split("```")[0].split("…")
    ):
        before, found, printed = printed.partition(" ".join(part.split()))
        assert found, (part, before)
    for number, step in enumerate(STEPS, start=1):
        assert f"{number}. {step.says}\n   → {step.tool} " in stdout
    assert stdout.count("   ← ") == len(STEPS)
    assert stdout.count("← error: ") == 2
    assert f"All {len(STEPS)} calls went as expected." in stdout
    assert not (tmp_path / ".inkbox").exists()
    before, mail, after = stdout.partition("   ✉ from outside, meanwhile: inkbox-mcp sandbox deliver ")
    assert mail
    assert "→ wait_for_message" in before
    for shown in ('"timed_out": false', f'"value": "{CODE}"', f'"url": "{LINK}"', "<<<end of mail "):
        assert shown not in before
        assert shown in after.partition("   ← ")[2]


def test_the_tour_calls_every_mailbox_tool() -> None:
    """The tour also shows two expected errors: a second create, and a deleted mailbox."""
    assert [step.tool.removesuffix("_mailbox") for step in LIFE] == [
        *("create", "create", "list_mailboxes", "get", "update", "update", "update", "delete", "get"),
    ]


CREATE, AGAIN, *_, GONE = LIFE
SECOND, WAIT = SIGN_UP
BRIEF = replace(WAIT, arguments={**WAIT.arguments, "timeout": 2})


def never(_: dict[str, Any]) -> bool:
    """Fail every check."""
    return False


def mail_with(old: str, new: str) -> tuple[str, ...]:
    """Return the mail of the tour with another text in it."""
    return tuple(option.replace(old, new) for option in MAIL)


TO_NOBODY = mail_with(OTHER, "nobody@inkboxmail.com")
FROM_OTHERS = mail_with("acme.example", "other.example")
WITHOUT_CODE = mail_with(f"Your code is {CODE}. Or c", "C")
WITHOUT_LINK = mail_with(LINK, "soon")


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(replace(CREATE, check=never), marks=pytest.mark.slow),
        pytest.param(replace(GONE, error=None), marks=pytest.mark.slow),
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


@pytest.mark.parametrize(
    ("wait", "reason"),
    [
        (replace(WAIT, mail=mail_with(CODE, "111222")), '"value": "111222"'),
        pytest.param(replace(BRIEF, mail=()), '"timed_out": true', marks=pytest.mark.slow),
        pytest.param(replace(BRIEF, tool="get_mailbox"), "← error: ", marks=pytest.mark.slow),
        pytest.param(replace(BRIEF, mail=TO_NOBODY), "✉ inkbox-mcp: no mailbox takes it", marks=pytest.mark.slow),
        pytest.param(replace(BRIEF, mail=FROM_OTHERS), '"timed_out": true', marks=pytest.mark.slow),
        pytest.param(replace(WAIT, mail=WITHOUT_CODE), '"timed_out": false', marks=pytest.mark.slow),
        pytest.param(replace(WAIT, mail=WITHOUT_LINK), '"timed_out": false', marks=pytest.mark.slow),
    ],
    ids=["wrong code", "no mail", "no wait", "another recipient", "another sender", "no code", "no link"],
)
async def test_the_tour_fails_unless_the_code_and_the_link_arrive(
    wait: Step, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the tour shows of mail is read from it, so other mail fails."""
    assert await play((SECOND, wait)) == 1
    shown = capsys.readouterr().out
    assert reason in shown
    assert "That is not what should have happened" in shown


DIES_IN_THE_WAIT = """
import subprocess, sys
server = subprocess.Popen([sys.executable, "-m", "inkbox_mcp", *sys.argv[1:]], stdin=subprocess.PIPE)
for line in sys.stdin.buffer:
    if b'"wait_for_message"' in line:
        break
    server.stdin.write(line)
    server.stdin.flush()
server.kill()
server.wait()
"""


@pytest.mark.parametrize(
    ("program", "calls"),
    [("raise SystemExit(3)", 0), pytest.param(DIES_IN_THE_WAIT, 2, marks=pytest.mark.slow)],
    ids=["at the start", "in the wait"],
)
async def test_a_server_that_dies_ends_the_tour_with_status_1(
    program: str, calls: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says so, and no traceback hides it."""
    assert await play(SIGN_UP, (sys.executable, "-c", program)) == 1
    shown = capsys.readouterr().out
    assert shown.count("   → ") == calls
    assert shown.splitlines()[-1] == "   The server failed (Connection closed): the tour stops here."


async def test_a_command_that_is_no_server_ends_the_tour_with_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    """As when the Python that runs the tour was removed meanwhile."""
    assert await play(SIGN_UP, ("/no/such/command",)) == 1
    assert "The server failed" in capsys.readouterr().out
