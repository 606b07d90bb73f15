"""The MCP conformance suite against our server."""

import re
from pathlib import Path

import pytest

from tests.support.node import Program

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent


@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
def test_conforms_to_a_revision(program: Program, fixtures_url: str, revision: str, tmp_path: Path) -> None:
    """All required scenarios pass, and of the others only those in the baseline fail."""
    baseline = HERE / f"baseline-{revision}.yml"
    command = ["server", "--url", fixtures_url, "--requirements", revision, "--expected-failures", str(baseline)]
    result = program("conformance", *command, cwd=tmp_path)
    assert result.returncode == 0, result.stdout
    # The suite's status ignores scenarios that a revision does not require, such as extensions.
    failed = set(re.findall(r"^✗ (\S+):", result.stdout, re.MULTILINE))
    expected = set(re.findall(r"^  - (\S+)", baseline.read_text(encoding="utf-8"), re.MULTILINE))
    assert failed == expected
    assert re.search(r"^✓ tools-list: [1-9]", result.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("revision", "scenario"),
    [
        ("2025-11-25", "server-initialize"),
        ("2025-11-25", "server-session-lifecycle"),
        ("2025-11-25", "ping"),
        ("2025-11-25", "tools-list"),
        ("2025-11-25", "server-sse-multiple-streams"),
        ("2025-11-25", "dns-rebinding-protection"),
        ("2026-07-28", "tools-list"),
        ("2026-07-28", "http-header-validation"),
        ("2026-07-28", "dns-rebinding-protection"),
    ],
)
def test_conforms_as_it_is_started(
    program: Program, server_url: str, revision: str, scenario: str, tmp_path: Path
) -> None:
    """Scenarios that need no tool of the suite pass on the server of the command line."""
    command = ["server", "--url", server_url, "--scenario", scenario, "--spec-version", revision]
    result = program("conformance", *command, cwd=tmp_path)
    assert result.returncode == 0, result.stdout
    assert re.search(r"Passed: [1-9]\d*/\d+, 0 failed, 0 warnings", result.stdout), result.stdout
