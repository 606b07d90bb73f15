"""The calls of tools that a sandbox keeps."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from inkbox_mcp.sandbox import Store
from inkbox_mcp.sandbox.calls import KEPT, list_calls


def call(number: int) -> dict[str, Any]:
    """Return a call as it is kept."""
    made = {"tool": f"tool-{number}", "arguments": "{}", "outcome": "ok", "error_text": None}
    return {**made, "duration_ms": 1.5, "client": None, "created_at": number}


def tools(store: Store) -> list[str]:
    """Return the names of all tools that are kept."""
    with store.reading() as connection:
        return [row["tool"] for row in list_calls(connection, 2 * KEPT)]


def test_the_last_calls_are_kept() -> None:
    """However many come at once."""
    with Store(":memory:") as store:
        for begin in range(0, KEPT, 50):
            store.keep_calls([call(number) for number in range(begin, begin + 50)])
        store.keep_calls([call(KEPT), call(KEPT + 1)])
        assert tools(store) == [f"tool-{number}" for number in range(KEPT + 1, 1, -1)]
        store.keep_calls([call(number) for number in range(1000, 1000 + 2 * KEPT)])
        assert tools(store) == [f"tool-{number}" for number in range(999 + 2 * KEPT, 999 + KEPT, -1)]


def test_a_file_that_is_locked_loses_them(tmp_path: Path) -> None:
    """Sooner than another change gives up, which is worth its wait; the next ones are kept."""
    path = tmp_path / "x.db"
    with Store(path) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        store.keep_calls([call(1)])
        other.execute("ROLLBACK")
        assert tools(store) == []
        store.keep_calls([call(2)])
        assert tools(store) == ["tool-2"]
        with store.transaction() as connection:
            assert connection.execute("PRAGMA busy_timeout").fetchone() == {"timeout": 10_000}
