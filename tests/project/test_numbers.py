"""The numbers of the documents are those of the code.

Other tests show that the code keeps to its limits. Here a limit that is changed in one place only is found.
"""

import math
from pathlib import Path

from mcp.server.streamable_http_manager import DEFAULT_MAX_SESSIONS
from mcp.server.transport_security import DEFAULT_MAX_REQUEST_BODY_SIZE

from inkbox_mcp.access import rate_limits
from inkbox_mcp.api import attempts, call_log, connection, downloads
from inkbox_mcp.discovery import SECONDS_BETWEEN_LOOKS, SECONDS_TO_LOOK
from inkbox_mcp.http import authentication, connections, issuer_keys, middleware
from inkbox_mcp.mail import body, html, links, positions, shortening, styles, visible
from inkbox_mcp.protocol import changes
from inkbox_mcp.sandbox.calls import KEPT
from inkbox_mcp.settings.options import Settings
from inkbox_mcp.stdio.pipes import MAX_LINE
from inkbox_mcp.text import MAX_DETAIL
from inkbox_mcp.toolkit import attached_files, bounds, data_urls, readable_files
from inkbox_mcp.tools import attachments, composing, inbox, message_lists, messages

ROOT = Path(__file__).parent.parent.parent
WORDS = {5: "five", 8: "eight", 10: "ten", 3600: "an hour"}


def missing(document: str, *sentences: str) -> list[str]:
    """Return the parts of sentences that a document does not have, wherever its lines are broken."""
    text = " ".join((ROOT / document).read_text(encoding="utf-8").split())
    return [sentence for sentence in sentences if sentence not in text]


def test_the_numbers_of_the_promises_are_those_of_the_code() -> None:
    """Of what comes in, what goes out, and what is kept."""
    limits = connections.Limits()
    picture = math.ceil(attachments.MAX_RESULT / 100_000) / 10
    assert not missing(
        "SECURITY.md",
        f"Answers over {connection.MAX_RESPONSE_BYTES // 1024**2} MB",
        f"A request's head has {limits.head:g} seconds, its body {middleware.SECONDS_TO_READ:g} seconds "
        f"and {DEFAULT_MAX_REQUEST_BODY_SIZE // 1024**2} MB; connections over {limits.connections:,},",
        f"results below {bounds.MAX_RESULT // 1000} kB, with a picture below {picture:g} MB",
        f"at most {MAX_DETAIL} characters",
        f"at most {attachments.MAX_CHARS:,} characters and {readable_files.MAX_PICTURE_BYTES // 10**6} MB",
        f"public addresses only, at most {downloads.MAX_FILE_BYTES // 1024**2} MB",
        f"never through a link and at most {attached_files.MOST_BYTES // 10**6} MB together",
        f"among the messages of the last {WORDS[int(attempts.WINDOW) // 60]} minutes",
        f"more than {WORDS[int(attempts.DISAGREEMENT)]} seconds after the {WORDS[int(attempts.WINDOW) // 60]} minutes",
        f"appears up to {WORDS[positions.LATE // 10**6]} seconds late",
        f"at most {inbox.MOST_PAGES * messages.PAGE:,} messages that are newer than its `after`",
        f"more than {positions.MOST} come within {WORDS[positions.LATE // 10**6]} seconds",
        f"at most {rate_limits.MAX_TENANTS:,} keys in an hour",
        f"the last {KEPT} calls of tools, with up to {call_log.MAX_ARGUMENTS // 1024} kB of their arguments",
    )


def test_the_numbers_of_what_a_mail_may_be_are_those_of_the_code() -> None:
    """Those of waiting and reading are tested with the rest of docs/mail.md."""
    assert html.MAX_HTML == body.MAX_TEXT
    rows = message_lists.ListMessages.model_fields["limit"].default
    assert not missing(
        "docs/mail.md",
        f"{body.MAX_TEXT:,} characters of a body are read",
        f"and {html.MAX_SECONDS:g} s in all",
        f"a longer one than {links.MAX_URL:,} characters is left out",
        f"smaller than {styles.SMALLEST:g} pixels",
        f"More than {WORDS[visible.MAX_MARKS]} marks on one letter are removed",
        f"A page of {rows} rows has at most {math.ceil(rows * shortening.ROW / 1000)} kB",
        f"the first {composing.EXCERPT} characters of the text",
        f"the server sends at most {attached_files.MOST_BYTES // 10**6} MB",
        f"with at most {data_urls.MAX_DATA // 1000} kB",
    )


def test_the_numbers_for_operators_are_those_of_the_code() -> None:
    """Those of options are in docs/options.md, which is written from them."""
    limits, settings = connections.Limits(), Settings()
    assert not missing(
        "docs/operating.md",
        f"at most {changes.MAX_STREAMS_OF_ALL:,} streams of `subscriptions/listen`, and of these {changes.MAX_STREAMS}",
        f"holds {DEFAULT_MAX_SESSIONS:,} sessions",
        f"for at most {SECONDS_TO_LOOK:g} seconds, and at most every {WORDS[int(SECONDS_BETWEEN_LOOKS)]}",
        f"after less than {limits.idle:g} seconds: the server drops them after {limits.idle:g},",
        f"gives a head {limits.head:g} seconds and the rest of a request {middleware.SECONDS_TO_READ:g}",
        f"holds {limits.connections:,} at once",
        f"Waits {rate_limits.STORE_PATIENCE:g} s for it at most, then asks every "
        f"{WORDS[int(rate_limits.STORE_PAUSE)]} seconds",
        f"its public keys, every {issuer_keys.FRESH // 60} minutes",
        f"counts for up to {WORDS[issuer_keys.FRESH // 60]} minutes, and for up to {WORDS[issuer_keys.KEPT]}",
        f"asks again every {WORDS[authentication.SECONDS_TO_RETRY]} seconds",
        f"| `INKBOX_MCP_TIMEOUT` | {settings.timeout:g} |",
        f"| `INKBOX_MCP_DRAIN_TIMEOUT` | {settings.drain_timeout:g} |",
        f"| `INKBOX_MCP_MAX_CONCURRENCY` | {settings.max_concurrency} |",
        f"| `INKBOX_MCP_MAX_WAITS` | {settings.max_waits} |",
        f"| `INKBOX_MCP_MAX_RECIPIENTS_PER_HOUR` | {settings.max_recipients_per_hour} |",
        f"| `INKBOX_MCP_CONFIRM` | `{settings.confirm}` |",
        f"| `INKBOX_MCP_CONFIRM_TIMEOUT` | {settings.confirm_timeout:g} |",
        f"| `INKBOX_MCP_LOG_LEVEL` | `{settings.log_level}` |",
    )


def test_the_numbers_of_the_changelog_are_those_of_the_code() -> None:
    """They are the ones that clients can meet."""
    assert not missing(
        "CHANGELOG.md",
        f"at most {bounds.MAX_ARGUMENTS} arguments. A string may have {bounds.MAX_STRING // 1024} kB and a list "
        f"{bounds.MAX_ITEMS} items",
        f"Results hold at most {bounds.MAX_RESULT // 1000} kB",
        f"errors name at most {bounds.MAX_PROBLEMS} problems",
        f"lines are limited to {MAX_LINE // 1024**2} MiB",
        f"At most {changes.MAX_STREAMS_OF_ALL:,} `subscriptions/listen` streams are open, and {changes.MAX_STREAMS} of",
    )
    assert not missing("README.md", f"one answer names all mistakes, up to {WORDS[bounds.MAX_PROBLEMS]}")
