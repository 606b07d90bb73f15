"""The cost of reading a mail as text: `python -m benchmarks.mail_text` writes µs per mail of the written ones.

The mails are those of `tests/mail`; those in plain text are read as HTML, too.
"""

import argparse
import gc
import html
import sys
import time
from collections.abc import Callable

from benchmarks.figures import Series, machine, table
from inkbox_mcp.mail.body import read_body
from inkbox_mcp.mail.html import read_html
from inkbox_mcp.mail.quotes import split_quotes
from inkbox_mcp.mail.visible import visible_text
from tests.support.mails import WrittenMail, written_mails

LAYOUT = "<table width='100%' style='border:0'><tr><td style='padding:0;font-size:14px'>{}</td></tr></table>"


def markup(mail: WrittenMail) -> str:
    """Return the body of a mail as HTML."""
    return mail.body if mail.is_html else f"<p>{html.escape(mail.body).replace(chr(10), '<br>')}</p>"


MAILS = [mail for folder in ("corpus", "held_out") for mail in written_mails(folder)]
NEWSLETTER = "".join(LAYOUT.format(markup(mail)) for mail in MAILS)
WAYS: dict[str, Callable[[WrittenMail], object]] = {
    "HTML to text": lambda mail: read_html(markup(mail)),
    "visible text": lambda mail: visible_text(mail.body),
    "own and quoted text": lambda mail: split_quotes(mail.body),
    "all: text, codes, links": lambda mail: mail.read(),
    f"all of one newsletter of {len(NEWSLETTER) // 1000} kB": lambda _: read_body(None, NEWSLETTER),
}


def measure(rounds: int, mails: list[WrittenMail] = MAILS) -> dict[str, Series]:
    """Return µs per mail of each way, one value for each round."""
    found = {name: Series() for name in WAYS}
    for _ in range(rounds):
        for name, way in WAYS.items():
            several = mails[:3] if "one" in name else mails
            gc.collect()
            began = time.perf_counter()
            for mail in several:
                way(mail)
            found[name].values.append((time.perf_counter() - began) / len(several) * 1e6)
    return found


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mail_text", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30, help=f"of {len(MAILS)} mails each (default: 30)")
    rows = [
        [name, f"{series.quartiles[0]:.0f}", f"{series.median:.0f}", f"±{series.deviation:.1%}"]
        for name, series in measure(parser.parse_args().rounds).items()
    ]
    sys.stdout.write(f"{machine()}\n\n{table(['µs per mail', 'lower quarter', 'median', '±'], rows)}\n")


if __name__ == "__main__":
    main()
