"""Checks whom mail goes to: one address, or an error; what could be read in two ways is never guessed."""

import re

from inkbox_mcp.toolkit.addresses import address_in
from inkbox_mcp.toolkit.plain_text import plain_line

MAX_LENGTH = 998
"""Characters of an address with the name beside it: a line of mail (RFC 5322)."""

_EXAMPLE = 'write the full address, such as "jane@example.com"'
_MAILTO = re.compile(r"mailto:", re.IGNORECASE)
_MORE = re.compile(r"[?&](to|cc|bcc)=", re.IGNORECASE)


def recipient(text: str) -> str:
    """Return the one address in a text, which may be of a stranger.

    Args:
        text: an address alone, or as `Jane <jane@x.org>`, `<jane@x.org>` or `mailto:jane@x.org`.

    Returns:
        The address as it is sent: ASCII, with an international domain in its encoded form.

    Raises:
        ValueError: it is no address, or may be more than one; the sentence is for a model.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"must have at most {MAX_LENGTH} characters; {_EXAMPLE}")
    return _checked(_alone(text))


def _alone(text: str) -> str:
    """Return the address in the notations of mail programs, which is still to be checked.

    Raises:
        ValueError: something is hidden in the text, or it may have more than one address.
    """
    plain_line(text)
    try:
        address = address_in(text.strip())
    except ValueError:
        raise ValueError(
            "must be one address; this text may have more than one, so write each address by itself"
        ) from None
    if _MAILTO.search(text) and (_MORE.search(text) or "%" in text):
        raise ValueError(f'must be an address without "mailto:", encoded characters and other fields; {_EXAMPLE}')
    return address


def _checked(address: str) -> str:
    """Return an address as it is sent.

    Raises:
        ValueError: no mail can be sent to it.
    """
    if "@" not in address:
        raise ValueError(f"must have an @ and a domain after it; {_EXAMPLE}")
    from email_validator import EmailNotValidError, validate_email  # 20 ms that a start does not need

    try:
        found = validate_email(
            address,
            allow_smtputf8=False,
            allow_quoted_local=False,
            allow_domain_literal=False,
            allow_display_name=False,
            check_deliverability=False,
            strict=True,
        )
    except EmailNotValidError as error:
        reason = str(error).rstrip(".").replace(";", ",")
        raise ValueError(f"is no address that mail can be sent to ({reason}); {_EXAMPLE}") from None
    if not found.ascii_email:
        raise ValueError(f"must have only ASCII characters before the @; {_EXAMPLE}")
    return found.ascii_email
