"""Bodies that are made to take long are read like others, within bounds of time and memory."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from inkbox_mcp.mail.html import MAX_HTML, read_html
from inkbox_mcp.mail.links import find_links
from inkbox_mcp.mail.selectors import Named
from tests.support.alike import choices
from tests.support.bombs import bombs
from tests.support.processes import PATIENCE

ROOT = Path(__file__).parent.parent.parent
READ_ALL = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
from tests.support.bombs import main
main()
"""


@pytest.mark.linux
@pytest.mark.parametrize("size", [2_000, pytest.param(MAX_HTML, marks=pytest.mark.slow)])
def test_bombs_hang_nothing_and_fill_no_memory(size: int) -> None:
    """They are read in a process that is killed if one of them hangs, and that has 1 GiB of memory."""
    names = [name for name, _ in bombs(size)]
    command = [sys.executable, "-c", READ_ALL, str(size)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=9 * PATIENCE, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == names


def calls(read: Callable[[str], object], text: str) -> int:
    """Count the calls of functions, in Python and in C, that reading takes."""
    count = 0

    def note(*_: object) -> None:
        nonlocal count
        count += 1

    sys.setprofile(note)
    try:
        read(text)
    finally:
        sys.setprofile(None)
    return count


UNITS = ["<div>", "<table><tr><td>", "<b><p>", "<li>", "<blockquote>", "<a href=x>", "<p style='color:red'>x"]


@pytest.mark.parametrize("unit", choices(UNITS, UNITS[2:]))
def test_work_grows_with_the_length_and_ends_at_the_limit(unit: str) -> None:
    """Twice as much HTML takes twice as much work at most, until the number of nodes ends it."""
    small, double = calls(read_html, unit * 500), calls(read_html, unit * 1000)
    assert double < 2.2 * small
    assert calls(read_html, unit * (4 * MAX_HTML // len(unit))) < 200 * small


def test_entangled_html_is_cut_and_says_so() -> None:
    """Formatting that is never closed begins anew in every paragraph, hundredfold."""
    page = read_html("".join(f"<b a{number}=1><p>x" for number in range(40_000)))
    assert page.unread > 0
    assert page.text.startswith("x\n\nx")


def test_html_for_which_there_is_no_time_is_cut_and_says_so() -> None:
    """Beside busy threads, the bounds of work are not enough: a call would go on for long."""
    html = "<p>x" * 2000
    page = read_html(html, seconds=0)
    assert page.text.startswith("x\n\nx")
    assert page.unread + page.text.count("x") == read_html(html).text.count("x")
    assert read_html("<p>x", seconds=0).unread == 0


def test_of_many_bodies_only_the_first_is_one() -> None:
    """Giving the attributes of each to the first would take the square of their number."""
    page = read_html("<body bgcolor=black><font color=white>a</font><body hidden>b")
    assert (page.text, page.hidden) == ("a", 1)


@pytest.mark.parametrize("sign", [")", "]", "."])
def test_work_does_not_grow_with_what_is_taken_off_a_url(sign: str) -> None:
    """Counting its brackets anew for each one that is taken off takes the square of their number."""
    find_links("https://x")  # compiles patterns
    assert calls(find_links, "https://x" + 1000 * sign) == calls(find_links, "https://x" + 2000 * sign)


def test_the_classes_of_an_element_are_split_once() -> None:
    """An element is tested on many selectors."""
    named = Named("p", {"class": "a B"})
    assert named.classes == {"a", "b"}
    assert named.classes is named.classes
