"""The rules for handles of agent identities."""

import re
import unicodedata

_NOT_IN_A_HANDLE = re.compile(r"[\s/\\?#%@]")


def existing_handle(text: str) -> str:
    """Return a handle without a leading @.

    Raises:
        ValueError: no handle looks like this.
    """
    handle = text.removeprefix("@")
    if not _is_handle(handle):
        if re.fullmatch(r"[^@\s]+@[^@\s]+", handle):
            raise ValueError('must be a handle such as "sales-agent", not an address; list_identities shows both')
        raise ValueError(
            'must be a handle such as "sales-agent", without spaces, "@", "/", "\\", "?", "#", "%" or ".."'
        )
    return handle


def new_handle(text: str) -> str:
    """Return the handle of a new identity without a leading @.

    The API decides about the form. Only a text that no generation of it takes is refused.

    Raises:
        ValueError: names the form, and what the text may mean.
    """
    handle = text.removeprefix("@")
    if not _is_handle(handle):
        such_as = suggested_handle(handle) or "sales-agent"
        raise ValueError(f'must be a new handle of 3-63 lowercase letters, digits and hyphens, such as "{such_as}"')
    return handle


def _is_handle(text: str) -> bool:
    return bool(text) and not _NOT_IN_A_HANDLE.search(text) and text != "." and ".." not in text


def suggested_handle(text: str) -> str | None:
    """Return the handle that a name like "Newsletter Bot" may mean, "newsletter-bot"; None if there is none."""
    plain = unicodedata.normalize("NFKD", text.partition("@")[0].casefold())
    handle = re.sub(r"[^a-z0-9-]", "", re.sub(r"[\s_./\\]", "-", plain))
    handle = re.sub("-+", "-", handle).strip("-")
    return handle if 3 <= len(handle) <= 63 else None
