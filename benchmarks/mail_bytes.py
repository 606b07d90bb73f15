"""What a model reads for five jobs with mail, beside AgentMail: `python -m benchmarks.mail_bytes` takes seconds.

A model reads the list of tools once, and the text of each result. Of this server both are measured: the jobs of
`tests.journeys.mail_jobs` are done through an MCP client on a sandbox, in both generations of the API, and each checks
its answers. Of a tool count name, description and input schema, as compact JSON; the instructions of the server count,
too. Of AgentMail the list is measured and the answers are modelled: `benchmarks/peers/agentmail.py` says how. What the
model writes does not count, nor the schemas of results, which programs read.

The whole is counted again with the tools for mail only (`--toolsets mail` here, `--tools` there), with all that
`tools/list` has, and for the same mails without their HTML, which AgentMail's answers have twice, and ours do not have.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from benchmarks.figures import table
from benchmarks.peers import agentmail
from inkbox_mcp.catalogue import GENERATIONS
from inkbox_mcp.sandbox import Generation
from tests.journeys.mail_jobs import MAIL_JOBS, do_mail_job
from tests.support.agents import connect
from tests.support.correspondence import LETTERS

ALL, ALL_OF_MAIL = "all", "all, tools for mail only"
READ = ("name", "description", "inputSchema")
OURS = {"spec": "inkbox-mcp, spec", "identity": "inkbox-mcp, identity"}
OTHER = "AgentMail"


@dataclass(frozen=True)
class Counted:
    """Bytes that a model reads.

    Attributes:
        tools: of the list of tools and the instructions.
        jobs: of all results of each job.
    """

    tools: int
    jobs: Mapping[str, int]

    @property
    def results(self) -> int:
        """All results."""
        return sum(self.jobs.values())

    @property
    def total(self) -> int:
        """Tools once, and all results."""
        return self.tools + self.results


def size(data: Any) -> int:
    """Return the bytes of compact JSON."""
    return len(json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode())


async def list_of(generation: Generation, parts: Collection[str] = READ, **settings: Any) -> int:
    """Return the bytes of the instructions and of these parts of all tools; of all parts if there are none."""
    async with connect(sandbox=True, sandbox_generation=generation, **settings) as agent:
        result = await agent.client.list_tools()
        tools = result.model_dump(mode="json", by_alias=True, exclude_none=True)["tools"]
        read = sum(size({part: value for part, value in tool.items() if part in (parts or tool)}) for tool in tools)
        return read + len((agent.client.instructions or "").encode())


async def own(generation: Generation, with_html: bool = True) -> Counted:
    """Do the jobs, and count."""
    mails = [bytes(letter.written(with_html)) for letter in LETTERS]
    jobs: dict[str, int] = {}
    for name, job in MAIL_JOBS.items():
        with tempfile.TemporaryDirectory(prefix="mail") as folder:
            desk = await do_mail_job(job, generation, Path(folder), mails)
        # The name of the folder is as long as the machine likes.
        jobs[name] = sum(len(text.replace(folder, "/attachments").encode()) for text in desk.read)
    return Counted(await list_of(generation), jobs)


def other(with_html: bool = True) -> Counted:
    """Count what AgentMail's tools and answers have."""
    answers = agentmail.jobs(agentmail.AgentMail(with_html))
    read = sum(tool["read"] for tool in agentmail.tools().values())
    return Counted(read, {name: sum(map(size, each)) for name, each in answers.items()})


async def measure() -> list[list[str]]:
    """Return the rows of the table: what is read in each generation and at AgentMail, in kB, and the larger ratio."""
    ours, theirs = [await own(each) for each in GENERATIONS], other()
    plain, theirs_plain = [await own(each, with_html=False) for each in GENERATIONS], other(with_html=False)
    few = [await list_of(each, toolsets=["mail"]) for each in GENERATIONS]
    their_few = sum(tool["read"] for name, tool in agentmail.tools().items() if name in agentmail.MAIL_TOOLS)
    whole = [await list_of(each, parts=()) for each in GENERATIONS]
    their_whole = sum(tool["whole"] for tool in agentmail.tools().values())
    return [
        _row("tools, once", [each.tools for each in ours], theirs.tools),
        *(_row(job, [each.jobs[job] for each in ours], theirs.jobs[job]) for job in MAIL_JOBS),
        _row("all results", [each.results for each in ours], theirs.results),
        _row(ALL, [each.total for each in ours], theirs.total),
        _row(ALL_OF_MAIL, _with(few, ours), their_few + theirs.results),
        _row("all, with the schemas of results", _with(whole, ours), their_whole + theirs.results),
        _row("all, mails without HTML", [each.total for each in plain], theirs_plain.total),
    ]


def _with(tools: list[int], counted: list[Counted]) -> list[int]:
    return [listed + each.results for listed, each in zip(tools, counted, strict=True)]


def _row(name: str, ours: list[int], theirs: int) -> list[str]:
    return [name, *(f"{each / 1000:.1f}" for each in (*ours, theirs)), f"{max(ours) / theirs:.2f}"]


def shown(rows: list[list[str]]) -> str:
    """Format the table."""
    return table(["kB that a model reads", *OURS.values(), OTHER, "ratio"], rows, words=1)


def write_sizes(listing: Path, source: str, sizes_file: Path = agentmail.SIZES) -> None:
    """Write the sizes of AgentMail's tools from its manifest or the result of `tools/list`, and where that is from."""
    found = json.loads(listing.read_text(encoding="utf-8"))["tools"]
    marks = {"oauthOnly", "apiKeyOnly"}  # of the manifest; clients do not get them
    sizes = {
        tool["name"]: {
            "read": size({part: tool[part] for part in READ}),
            "whole": size({part: value for part, value in tool.items() if part not in marks}),
        }
        for tool in found
    }
    sizes_file.write_text(json.dumps({"source": source, "tools": sizes}, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mail_bytes", description=__doc__)
    parser.add_argument(
        "--listing", nargs=2, metavar=("FILE", "SOURCE"), help="take the sizes of AgentMail's tools from this list"
    )
    if listing := parser.parse_args().listing:
        write_sizes(Path(listing[0]), listing[1])
    sys.stdout.write(f"{shown(anyio.run(measure))}\n")


if __name__ == "__main__":
    main()
