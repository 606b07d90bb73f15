"""The sandbox's key, and common mistakes in keys and options: quotes, placeholders, whole lines of other files."""

import re

SANDBOX_KEY = "ApiKey_00000000-0000-4000-8000-000000000000.sandbox"
"""A key for the sandbox. There each key is an organization; the embedded one has a single user, who needs no other."""

_UNFILLED = re.compile(
    r"\$\{[^{}]*\}|\{\{[^{}]*\}\}|\$\([^()]*\)"  # templates, anywhere in a value
    r"|^\$[A-Z_][A-Z0-9_]*(?=/|$)|^%[A-Za-z_][A-Za-z0-9_]*%(?=[/\\]|$)"  # variables that no shell has replaced
    r"|^<[^<>]*>$"
)
_EXAMPLE_KEY = re.compile(
    r"(ApiKey)?[\W_]*(x{3,}|<.*>|\{.*\}|\[.*\]|uuid\W+secret)?[\W_]*|ApiKey_[\Wx_]{3,}"
    r"|(ApiKey_)?(your|change|replace|insert|enter|paste|put|fill|todo).*"
    r"|(ApiKey_)?(my|the|an?)?[_-]?(inkbox)?[_-]?(api)?[_-]?key([_-]?here)?|placeholder|example"
    r"|none|null|nil|undefined|true|false",
    re.IGNORECASE,
)
_QUOTES = "\"'`\u2018\u2019\u201c\u201d"


def without_wrapping(text: str) -> str:
    """Return a key without the blanks, line breaks and quotes around it."""
    return text.strip().rstrip(",;").strip(_QUOTES).strip()


def without_keys(text: str) -> str:
    """Return a text with a sign in place of each API key."""
    return re.sub(r"ApiKey_\S+", "ApiKey_…", text)


def unfilled(text: str) -> bool:
    """Whether a value is or contains a placeholder that some program should have replaced."""
    return bool(_UNFILLED.search(text))


def not_a_key(text: str) -> str | None:
    """Explain why a text cannot be an API key; return None if it may be one.

    The explanation does not repeat the text, which may contain the key.
    """
    if not text:
        return "it is empty"
    if unfilled(text):
        return "it is a placeholder that nothing replaced"
    if _EXAMPLE_KEY.fullmatch(text) or "..." in text or "…" in text:
        return "it is the placeholder of an example"
    if not text.startswith("ApiKey_") and re.match(r"[\w$:\"'{ -]*(key|token)\w*[\"']?\s*[=:]", text, re.IGNORECASE):
        return "it is a whole line, with a name in front of the key"
    if re.match(r"[\w+-]+://|@?(env|file):|[~.]*/|[A-Za-z]:\\", text):
        return "it says where a key may be, and nothing fetches it from there"
    return None
