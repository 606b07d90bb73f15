"""JSON Schema 2020-12 with unknown keywords refused, for what is published."""

from typing import Any, cast

import jsonschema

# The dialect's own way to be stricter: its meta-schema describes each schema inside a schema by the outermost "meta".
_STRICT = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "urn:strict",
    "$dynamicAnchor": "meta",
    "$ref": "https://json-schema.org/draft/2020-12/schema",
    "unevaluatedProperties": False,
}


def mistakes(schema: Any) -> list[str]:
    """Say what in a schema is no JSON Schema, keywords that nobody knows included."""
    found = jsonschema.Draft202012Validator(_STRICT).iter_errors(schema)  # pyright: ignore[reportUnknownMemberType]
    return [f"{error.json_path}: {error.message}" for error in found]


def keys(schema: Any) -> set[str]:
    """Collect every schema keyword in use, property names aside."""
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
