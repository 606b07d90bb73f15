"""Merges unions of JSON Schemas into one schema without `anyOf`, if the meaning is the same.

Most keywords apply to values of one type only: a `format` beside the types string and null applies to strings. So a
union of different types needs no `anyOf`, which many clients do not understand.
"""

from typing import Any

JSON = dict[str, Any]

# The type to whose values a keyword applies.
_SPEAKS_OF = {
    **dict.fromkeys(("contentEncoding", "contentMediaType", "format", "maxLength", "minLength", "pattern"), "string"),
    **dict.fromkeys(("exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf"), "number"),
    **dict.fromkeys(("contains", "items", "maxItems", "minItems", "prefixItems", "uniqueItems"), "array"),
    **dict.fromkeys(
        ("additionalProperties", "maxProperties", "minProperties", "patternProperties", "properties", "propertyNames"),
        "object",
    ),
    "required": "object",
}
_TYPES: dict[type, str] = {type(None): "null", bool: "boolean", int: "integer", float: "number", str: "string"}


def union(arms: list[JSON]) -> JSON:
    """Return a union as one schema, with `anyOf` only if the meaning would change without it.

    Args:
        arms: flat schemas, at least one.
    """
    arms = _widest(arms)
    if len(arms) == 1:
        return arms[0]
    if all(set(arm) <= {"enum", "type"} and _values(arm) is not None for arm in arms):
        return typed({"enum": _distinct([value for arm in arms for value in _values(arm) or []])})
    kinds = [kind for arm in arms for kind in _kinds(arm)]
    families = [_family(kind) for kind in kinds]
    if len(set(families)) == len(families) and all(_is_mergeable(arm) for arm in arms):
        merged = {key: value for arm in arms for key, value in arm.items()}
        return {**merged, "type": kinds}
    return {"anyOf": arms}


def typed(schema: JSON) -> JSON:
    """Return fixed values as `enum` with a type: many clients do not know `const`, or need a type."""
    if "const" in schema:
        fixed = schema["const"]
        schema = {**{key: value for key, value in schema.items() if key != "const"}, "enum": [fixed]}
    if "enum" not in schema or "type" in schema:
        return schema
    values: list[object] = schema["enum"]
    kinds = _distinct([_TYPES.get(type(value)) for value in values])
    if not kinds or None in kinds:
        return schema
    return {"type": kinds[0] if len(kinds) == 1 else kinds, **schema}


def _widest(arms: list[JSON]) -> list[JSON]:
    """Remove arms that another arm includes."""
    if {} in arms:
        return [{}]
    whole = {kind for arm in arms if set(arm) == {"type"} for kind in _kinds(arm)}
    if "number" in whole:
        whole.add("integer")
    wide = [arm for arm in arms if set(arm) == {"type"} or not _kinds(arm) or not whole.issuperset(_kinds(arm))]
    return [arm for arm in _distinct(wide) if arm != {"type": "integer"} or {"type": "number"} not in arms]


def _is_mergeable(arm: JSON) -> bool:
    families = [_family(kind) for kind in _kinds(arm)]
    return bool(families) and all(_SPEAKS_OF.get(key) in families for key in arm if key != "type")


def _values(arm: JSON) -> list[Any] | None:
    return [None] if arm == {"type": "null"} else arm.get("enum")


def _kinds(arm: JSON) -> list[str]:
    kind = arm.get("type", [])
    return [kind] if isinstance(kind, str) else kind


def _family(kind: str) -> str:
    return "number" if kind == "integer" else kind


def _distinct(values: list[Any]) -> list[Any]:
    # Not a set: schemas are unhashable, and True equals 1.
    found: list[Any] = []
    for value in values:
        if not any(value == other and type(value) is type(other) for other in found):
            found.append(value)
    return found
