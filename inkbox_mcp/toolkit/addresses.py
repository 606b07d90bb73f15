"""Finds the one address in the notations of mail programs, such as `Sales <sales@inkboxmail.com>`."""

import re
import unicodedata

DOMAIN = "inkboxmail.com"
"""Of the mailboxes that are named by the part before the @ alone."""

_MOST = 998
"""The most characters of a line of mail (RFC 5322). Longer texts are no such notation, and slow to search."""

_WITH_NAME = re.compile(r"(?P<name>[^<>]*)<(?P<address>[^<>]*)>")
_LINK = re.compile(r"\[(?P<name>[^\[\]]*)\]\((?P<address>mailto:[^()]*)\)", re.IGNORECASE)
_MAILTO = re.compile(r"mailto:([^?]*)(\?.*)?", re.IGNORECASE)
_ADDRESS = re.compile(r"""[^\s@<>()\[\],;:"'?&=]+@[^\s@<>()\[\],;:"'?&=]+""")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


def address_in(text: str) -> str:
    """Return the address in `Sales <a@b.c>`, `<a@b.c>`, `mailto:a@b.c` or `[Sales](mailto:a@b.c)`.

    Another text is returned unchanged. Nothing is guessed: a name that may be a second address is refused, because the
    call could change another mailbox than the one that is meant.

    Raises:
        ValueError: there may be more than one address.
    """
    if len(text) > _MOST:
        return text
    found = _WITH_NAME.fullmatch(text) or _LINK.fullmatch(text)
    name, address = (found["name"].strip(), found["address"].strip()) if found else ("", text)
    alone = len(_ADDRESS.findall(address)) <= 1 and not _may_be_address(name, address)
    address = _MAILTO.sub(r"\1", address)
    if not alone:
        raise ValueError("must be one address alone; this text may have more than one, so pass the one that you mean")
    # Without an @, text in brackets may be a placeholder such as <email_address>.
    return address if "@" in address else text


def _may_be_address(name: str, address: str) -> bool:
    """Whether the name before an address may be another one. A comma outside of quotes separates addresses."""
    if name.strip("\"'").casefold() == _MAILTO.sub(r"\1", address).casefold():
        return False
    # People read full-width characters like normal ones.
    return "@" in unicodedata.normalize("NFKC", name) or re.search("[,;:]", _QUOTED.sub("", name)) is not None
