"""What a model reads for jobs with mail: the numbers of docs/performance.md are those of the benchmark."""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent.parent.parent))  # benchmarks are not installed

from benchmarks.mail_bytes import ALL, ALL_OF_MAIL, measure, shown, write_sizes
from benchmarks.peers import agentmail
from tests.support.correspondence import LETTERS

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "performance.md"
README = Path(__file__).parent.parent.parent / "README.md"
BLOCK = re.compile(r"(?<=<!-- mail bytes -->\n```text\n).*?(?=\n```)", re.DOTALL)
UPDATE = bool(os.environ.get("UPDATE_SNAPSHOTS"))
MOST = {"all results": 0.35, ALL: 0.5, ALL_OF_MAIL: 0.45, "get a code": 0.1}


def cells(table: str) -> dict[str, list[float]]:
    """Return the numbers of a table by the name of their row."""
    _, *lines = table.split("\n")
    rows = [re.split(r"\s{2,}", line) for line in lines]
    return {name: [float(number) for number in numbers] for name, *numbers in rows}


@pytest.mark.slow
async def test_the_document_shows_what_a_model_reads() -> None:
    """Run with UPDATE_SNAPSHOTS=1 to accept a change. The last digit may differ, as ids and times do."""
    now = shown(await measure())
    if UPDATE:
        document = DOCUMENT.read_text(encoding="utf-8")
        DOCUMENT.write_text(BLOCK.sub(lambda _: now, document), encoding="utf-8")
    (block,) = BLOCK.findall(DOCUMENT.read_text(encoding="utf-8"))
    told, found = cells(block), cells(now)
    assert told.keys() == found.keys()
    for name, numbers in found.items():
        assert numbers[:-1] == pytest.approx(told[name][:-1], abs=0.11), name
        assert numbers[-1] == pytest.approx(told[name][-1], abs=0.03 if numbers[-1] < 1 else 0.1), name
    assert {name: found[name][-1] for name in MOST if found[name][-1] > MOST[name]} == {}


def test_the_prose_beside_the_table_has_its_numbers() -> None:
    """Ratios, the share of the tools, and how many AgentMail has."""
    document = " ".join(DOCUMENT.read_text(encoding="utf-8").split())
    (block,) = BLOCK.findall(DOCUMENT.read_text(encoding="utf-8"))
    told = cells(block)
    total, mail, results = (told[row][-1] for row in (ALL, ALL_OF_MAIL, "all results"))
    assert f"{total} of AgentMail's instead of 0.25, and {mail} with the tools for mail only" in document
    assert f"The results alone are at {results}." in document
    assert f"{told['tools, once'][0]} kB of {told[ALL][0]:.0f} in the `spec` generation" in document
    assert f"with {len(agentmail.tools())} tools" in document
    assert "take [half the bytes](docs/performance.md) of AgentMail's tools" in README.read_text(encoding="utf-8")
    assert total <= 0.5
    assert agentmail.tools().keys() >= agentmail.MAIL_TOOLS


def test_an_answer_of_agentmail_has_the_mails_that_it_is_about() -> None:
    """Otherwise the comparison would be of other mails."""
    server = agentmail.AgentMail()
    page = server.list_messages(LETTERS)
    assert [item["subject"] for item in page["messages"]] == [letter.subject for letter in reversed(LETTERS[10:])]
    assert page["nextPageToken"]
    (first,) = [letter for letter in LETTERS if letter.name == "ruth1"]
    thread = server.get_thread(first)
    assert [message["extractedText"] for message in thread["messages"]] == [
        letter.text for letter in LETTERS if letter.name.startswith("ruth")
    ]
    assert thread["messages"][2]["references"] == [message["messageId"] for message in thread["messages"][:2]]
    assert "> you asked for the batch number" in thread["messages"][2]["text"]
    plain = agentmail.AgentMail(with_html=False).get_thread(first)
    assert "html" in thread["messages"][0]
    assert "html" not in plain["messages"][0]


def test_the_sizes_of_the_tools_are_made_from_a_list(tmp_path: Path) -> None:
    """Marks that only a manifest has do not count."""
    tool: dict[str, Any] = {"name": "a", "description": "é", "inputSchema": {}, "annotations": {}}
    listing, sizes = tmp_path / "list.json", tmp_path / "sizes.json"
    listing.write_text(json.dumps({"tools": [{**tool, "oauthOnly": True}]}), encoding="utf-8")
    write_sizes(listing, "a test", sizes)
    read = len('{"name":"a","description":"é","inputSchema":{}}'.encode())
    assert agentmail.tools(sizes) == {"a": {"read": read, "whole": read + len(',"annotations":{}')}}
