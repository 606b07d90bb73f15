"""Checks for Windows on another system: the code loads and needs nothing that Windows lacks."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.messages import HANDSHAKE

ROOT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the other tests show it there")

LOAD_ALL = """
import importlib, pkgutil
from tests.support.windows import pretend
pretend()
import inkbox_mcp
for module in pkgutil.walk_packages(inkbox_mcp.__path__, "inkbox_mcp."):
    importlib.import_module(module.name)
    print(module.name)
"""
SERVE = """
from tests.support.windows import pretend
pretend()
import sys
from inkbox_mcp.__main__ import main
sys.exit(main())
"""
COLLECT = """
import sys
import pytest
from tests.support.windows import pretend

class Pretence:
    @staticmethod
    def pytest_collection():
        pretend()

sys.exit(pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", "-W", "ignore"], plugins=[Pretence]))
"""


def on_windows(script: str, *arguments: str, home: Path, stdin: str = "") -> str:
    """Run a script and return its output."""
    ran = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        input=stdin,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-4000:]
    return ran.stdout


def test_every_module_can_be_loaded(tmp_path: Path) -> None:
    """Modules that never run on Windows are included, because others may import them."""
    loaded = on_windows(LOAD_ALL, home=tmp_path).split()
    assert {"inkbox_mcp.stdio.warm_start", "inkbox_mcp.cache.writing", "inkbox_mcp.http.connections"} <= {*loaded}


def test_it_serves_over_stdio(tmp_path: Path) -> None:
    """Nothing is recorded."""
    lines: list[dict[str, Any]] = [
        {"id": 1, "method": "initialize", "params": HANDSHAKE},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": {"name": "list_identities", "arguments": {}}},
    ]
    stdin = "".join(json.dumps({"jsonrpc": "2.0", **line}) + "\n" for line in lines)
    written = on_windows(SERVE, "--sandbox", "--sandbox-db", ":memory:", home=tmp_path, stdin=stdin)
    answers = {answer["id"]: answer["result"] for answer in map(json.loads, written.splitlines())}
    assert answers[2]["structuredContent"]["total"] == 2
    assert not list(tmp_path.rglob("*inkbox-mcp*"))


@pytest.mark.slow
def test_every_test_can_be_collected(tmp_path: Path) -> None:
    """Tests that cannot run on Windows are skipped with a reason, so a job needs no list of files."""
    assert " tests collected" in on_windows(COLLECT, home=tmp_path)
