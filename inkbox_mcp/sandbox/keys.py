"""API keys: their format, and the organization of each key."""

import hashlib
import re
from dataclasses import dataclass
from uuid import UUID

from inkbox_mcp.sandbox.problems import Forbidden, Unauthorized

NO_ORGANIZATION = "no-organization"
"""The secret of a key without an organization: `ApiKey_<uuid>.no-organization` is answered 403."""

_FORMAT = re.compile(r"ApiKey_([0-9A-Fa-f-]{32,36})\.([!-~]+)")


@dataclass(frozen=True, slots=True)
class APIKey:
    """A parsed key, without its secret.

    Attributes:
        key_id: The public part of the key.
        organization_id: A hash of the whole key, so that the database never contains a key.
    """

    key_id: UUID
    organization_id: str


def read_key(text: str | None) -> APIKey:
    """Parse a key of the form `ApiKey_<uuid>.<secret>`.

    Raises:
        Unauthorized: The key is missing, or has another form.
        Forbidden: Its secret is `NO_ORGANIZATION`.
    """
    if not text:
        raise Unauthorized("Missing API key")
    match = _FORMAT.fullmatch(text)
    try:
        key_id = UUID(match[1]) if match else None
    except ValueError:
        key_id = None
    if match is None or key_id is None:
        raise Unauthorized("Invalid API key")
    if match[2] == NO_ORGANIZATION:
        raise Forbidden("Organization ID missing from token")
    digest = hashlib.sha256(f"{key_id}.{match[2]}".encode()).hexdigest()
    return APIKey(key_id, f"org_{digest[:32]}")
