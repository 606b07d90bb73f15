"""JSON Schema 2020-12 that refuses unknown keywords, to check published schemas."""

from typing import Any, cast

import jsonschema

# The meta-schema refers to the outermost "meta" for each nested schema, so a stricter one applies to all of them.
_STRICT = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "urn:strict",
    "$dynamicAnchor": "meta",
    "$ref": "https://json-schema.org/draft/2020-12/schema",
    "unevaluatedProperties": False,
}
_JUDGE = jsonschema.Draft202012Validator(_STRICT)


def mistakes(schema: Any) -> list[str]:
    """Return the mistakes in a schema, with unknown keywords."""
    found = _JUDGE.iter_errors(schema)  # pyright: ignore[reportUnknownMemberType]
    return [f"{error.json_path}: {error.message}" for error in found]


def keys(schema: Any) -> set[str]:
    """Return every schema keyword in use, without property names."""
    found: set[str] = set()
    match schema:
        case dict():
            for keyword, value in cast("dict[str, Any]", schema).items():
                found |= {keyword} | keys([*value.values()] if keyword == "properties" else value)
        case list():
            for item in cast("list[Any]", schema):
                found |= keys(item)
        case _:
            pass
    return found
