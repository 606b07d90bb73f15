"""Check that servers do the same work; otherwise their speeds cannot be compared."""

from typing import Any

from benchmarks import eras
from benchmarks.deployments import Service
from benchmarks.messages import CALLS, LEGACY, MODERN
from benchmarks.processes import BenchmarkError


def compare_answers(services: list[Service]) -> None:
    """Call all five tools of each server, in both eras, and compare the answers.

    Raises:
        BenchmarkError: the data of two answers differ.
    """
    sessions = [eras.open_sessions(service.origin, 1)[0] for service in services]
    for tool, arguments in CALLS:
        answers: dict[str, Any] = {}
        for service, session in zip(services, sessions, strict=True):
            modern = eras.call(service.origin, MODERN, tool, arguments)
            legacy = eras.call(service.origin, LEGACY, tool, arguments, session)
            answers[f"{service.peer.name} on {MODERN}"] = modern.get("structuredContent", modern)
            answers[f"{service.peer.name} on {LEGACY}"] = legacy.get("structuredContent", legacy)
        agree(tool, answers)


def agree(tool: str, answers: dict[str, Any]) -> None:
    """Compare the data of the servers' answers.

    Raises:
        BenchmarkError: the data differ.
    """
    (reference, wanted), *others = answers.items()
    for who, found in others:
        if found != wanted:
            raise BenchmarkError(f"{tool}: {reference} answers {wanted}, but {who} answers {found}")
