"""A client on raw pipes, in its own process: `python -m benchmarks.client` with a job as JSON.

It builds messages without an MCP library, so it uses little time beside the server. It checks every answer.
"""

# Each measurement loads these imports again.
import json
import os
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.messages import CALLS, INITIALIZE, INITIALIZED, LEGACY, Message, call, template
from benchmarks.processes import BenchmarkError, last_line, run

TOOL = "get_mailbox"
IN_FLIGHT = 64
MAILBOXES = 256
CHUNK = 1 << 18
SECONDS_TO_SETTLE = 0.3
"""Seconds for a server to finish its start before its memory is read."""
WARM_UP = 300
"""Number of calls before latencies count."""

_TEMPLATE = template(LEGACY, TOOL) + "\n"


class Server:
    """A server on pipes, and the incomplete line that it sent last."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        assert process.stdin  # noqa: S101 - pipes were asked for
        assert process.stdout  # noqa: S101 - pipes were asked for
        self.pid, self._log = process.pid, log
        self._stdin, self._stdout = process.stdin.fileno(), process.stdout.fileno()
        self._begun = b""

    def write(self, data: bytes) -> None:
        """Write lines.

        Raises:
            BenchmarkError: the server has ended.
        """
        try:
            while data:
                data = data[os.write(self._stdin, data) :]
        except BrokenPipeError:
            raise self._ended() from None

    def read(self) -> list[bytes]:
        """Wait for data and return the complete lines.

        Raises:
            BenchmarkError: the server has ended.
        """
        while True:
            data = os.read(self._stdout, CHUNK)
            if not data:
                raise self._ended()
            *lines, self._begun = (self._begun + data).split(b"\n")
            if lines:
                return lines

    def _ended(self) -> BenchmarkError:
        return BenchmarkError(f"the server ended after {self._begun[:300]!r}: {last_line(self._log)}")

    def request(self, message: Message) -> dict[str, Any]:
        """Send a request and return its result.

        Raises:
            BenchmarkError: the answer was an error or not a message.
        """
        self.write(json.dumps(message).encode() + b"\n")
        while True:
            for line in self.read():
                try:
                    answer = json.loads(line)
                    if answer.get("id") == message["id"]:
                        return answer["result"]
                except (ValueError, AttributeError, KeyError):
                    raise BenchmarkError(f"{message['method']} was answered {line[:500]!r}") from None

    def ask_all(self, messages: list[Message]) -> list[dict[str, Any]]:
        """Send requests at once, and return their results in the order in which they come.

        Raises:
            BenchmarkError: the server has ended, or an answer was an error.
        """
        self.write("".join([json.dumps(message) + "\n" for message in messages]).encode())
        results: list[dict[str, Any]] = []
        while len(results) < len(messages):
            for answer in map(json.loads, self.read()):
                if "result" not in answer:
                    raise BenchmarkError(f"a request was answered {answer}"[:500])
                results.append(answer["result"])
        return results

    def shake_hands(self, *, all_tools: bool = False) -> int:
        """Initialize the session, list the tools, and return the size of the list in bytes.

        Args:
            all_tools: whether the server may have more tools than those that are compared.
        """
        self.request(INITIALIZE)
        self.write(json.dumps(INITIALIZED).encode() + b"\n")
        result = self.request({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        offered, compared = {tool["name"] for tool in result["tools"]}, {tool for tool, _ in CALLS}
        if offered != compared and not all_tools:
            raise BenchmarkError(f"it has other tools: {result}"[:500])
        return len(json.dumps(result["tools"], ensure_ascii=False, separators=(",", ":")).encode())

    def memory(self) -> float:
        """Return the server's resident memory in MiB."""
        return int(Path(f"/proc/{self.pid}/status").read_text().partition("VmRSS:")[2].split()[0]) / 1024


@contextmanager
def started(command: list[str], environment: dict[str, str], log: str) -> Generator[Server]:
    """Start a server; at the end, close its stdin and wait for it. On an error, kill it."""
    with Path(log).open("ab") as stderr:
        process = subprocess.Popen(  # noqa: S603 - command lines are the benchmarks' own
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, env=environment
        )
    with process:  # closes the pipes and waits
        try:
            yield Server(process, Path(log))
        except BaseException:
            process.kill()
            raise


def ask(number: int) -> bytes:
    """Return a call as a line; the call's id selects the mailbox."""
    return (_TEMPLATE % (number, _mailbox(number))).encode()


def check(line: bytes) -> int:
    """Return the id of the call that a line answers.

    Raises:
        BenchmarkError: the line is not the answer to that call.
    """
    try:
        answer = json.loads(line)
        number, result = answer["id"], answer["result"]
        right = result["structuredContent"]["email_address"] == _mailbox(number) and result["content"]
        if right and not result.get("isError"):
            return number
    except (ValueError, LookupError, TypeError):
        pass  # the answer has another structure
    raise BenchmarkError(f"a call was answered {line[:500]!r}")


def _mailbox(number: int) -> str:
    return f"client-{number % MAILBOXES}@inkboxmail.com"


def one_by_one(server: Server, first: int, seconds: float = 0, at_least: int = 0) -> list[float]:
    """Send each call after the answer to the one before; return the latencies in milliseconds.

    Raises:
        BenchmarkError: an answer was wrong.
    """
    latencies: list[float] = []
    end = time.perf_counter() + seconds
    while len(latencies) < at_least or time.perf_counter() < end:
        number, began = first + len(latencies), time.perf_counter()
        server.write(ask(number))
        lines = server.read()
        latencies.append((time.perf_counter() - began) * 1000)
        if [check(line) for line in lines] != [number]:
            raise BenchmarkError(f"call {number} was answered {lines}"[:500])
    return latencies


def side_by_side(server: Server, first: int, seconds: float) -> float:
    """Keep `IN_FLIGHT` calls under way; return the correct answers per second.

    Raises:
        BenchmarkError: an answer was wrong or came twice.
    """
    waiting = set(range(first, first + IN_FLIGHT))
    following = first + IN_FLIGHT
    began = time.perf_counter()
    server.write(b"".join(map(ask, sorted(waiting))))
    answered, end = 0, began + seconds
    while waiting:
        lines = server.read()
        for line in lines:
            if (number := check(line)) not in waiting:
                raise BenchmarkError(f"call {number} was answered twice")
            waiting.remove(number)
        if time.perf_counter() < end:
            answered += len(lines)
            more = range(following, following + len(lines))
            following += len(lines)
            waiting.update(more)
            server.write(b"".join(map(ask, more)))
    return answered / seconds


def answers(server: Server) -> dict[str, Any]:
    """Call every tool once; return the data of the answers, and the size of one answer's text."""
    server.shake_hands()
    results = {tool: server.request(call(LEGACY, tool, args, 2)) for tool, args in CALLS}
    return {
        "data": {tool: result.get("structuredContent", result) for tool, result in results.items()},
        "text": sum(len(block["text"].encode()) for block in results[TOOL]["content"]),
    }


def steady(server: Server, seconds: float) -> dict[str, float]:
    """Measure sequential calls, concurrent calls, and sequential calls again."""
    server.shake_hands()
    one_by_one(server, 2, at_least=WARM_UP)
    before = one_by_one(server, 2, seconds / 2)
    used, began = time.process_time(), time.perf_counter()
    rate = side_by_side(server, 2, seconds)
    busy = (time.process_time() - used) / (time.perf_counter() - began)
    after = one_by_one(server, 2, seconds / 2)
    return {"p50": median(before), "calls_per_second": rate, "p50_after": median(after), "client_busy": busy}


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Run a job and return its measurements; times are in milliseconds.

    Raises:
        BenchmarkError: an answer was wrong or missing.
    """
    began, shown = time.perf_counter(), dict[str, Any]()
    with started(job["command"], job["environment"], job["log"]) as server:
        if job["measure"] == "start":
            shown["list_bytes"] = server.shake_hands()
            shown["listed"] = (time.perf_counter() - began) * 1000
            time.sleep(SECONDS_TO_SETTLE)
            shown["memory"] = server.memory()
        elif job["measure"] == "first":
            server.shake_hands()
            one_by_one(server, 2, at_least=1)
            shown["first_result"] = (time.perf_counter() - began) * 1000
        elif job["measure"] == "steady":
            shown = steady(server, job["seconds"])
        else:
            shown = answers(server)
    import resource  # Windows lacks the module, but imports this file when it collects tests

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    shown["cpu"] = (used.ru_utime + used.ru_stime) * 1000
    return shown


def main() -> int:
    """Run the job of the command line, print its result, and return the exit status."""
    job = json.loads(sys.argv[1])
    return run(lambda: sys.stdout.write(json.dumps(measure(job)) + "\n"))


if __name__ == "__main__":
    sys.exit(main())
