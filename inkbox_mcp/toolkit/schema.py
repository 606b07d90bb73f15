"""JSON Schemas that every model API accepts, made from pydantic's.

Model APIs refuse, drop or crash on parts of JSON Schema: `$ref` and `$defs`, `anyOf` in arguments, `title` noise,
`additionalProperties`. What is published is flat and leaves these out; what they meant is enforced when a call comes.
"""

from collections.abc import Set as AbstractSet
from typing import Any

JSON = dict[str, Any]


# Lengths that only keep nonsense out are checked when a call comes.
_NOISE = frozenset({"$defs", "additionalProperties", "maxItems", "minItems", "minLength", "title"})


def argument_schema(schema: JSON, nullable: AbstractSet[str] = frozenset()) -> JSON:
    """Flatten the schema of an argument model.

    Args:
        schema: what pydantic generated.
        nullable: the arguments for which null is a value; the others lose their null, which only means "omitted".
    """
    flat = _inline(schema, schema.get("$defs", {}), _NOISE)
    flat["properties"] = {
        name: _describe_arms(field) if name in nullable else _without_unsaid_limit(_without_null(field))
        for name, field in flat["properties"].items()
    }
    return flat


def result_schema(schema: JSON) -> JSON:
    """Flatten the schema of a result model, and shorten it: results are for programs, and each byte is read by a model.

    Null stays, because the API sends it, in the short form; what is absent has no default; of a list's items, which
    another tool describes, only the type is told.
    """
    flat = _inline(schema, schema.get("$defs", {}), _NOISE | {"default"})
    flat["properties"] = {name: _short(field) for name, field in flat["properties"].items()}
    return flat


def _inline(node: JSON, definitions: JSON, noise: AbstractSet[str]) -> JSON:
    """Resolve references and drop noise, recursively."""
    if "$ref" in node:
        node = definitions[node["$ref"].removeprefix("#/$defs/")]
    flat: JSON = {}
    for key, value in node.items():
        match key:
            case "description" if "properties" in node:
                continue  # a model's docstring speaks to readers of the code
            case "default" if value is None:
                continue
            case _ if key in noise:
                continue
            case "properties":
                flat[key] = {name: _inline(field, definitions, noise) for name, field in value.items()}
            case "items":
                flat[key] = _inline(value, definitions, noise)
            case "anyOf":
                flat[key] = [_inline(arm, definitions, noise) for arm in value]
            case _:
                flat[key] = value
    return flat


def _short(field: JSON) -> JSON:
    if "items" in field:
        return {**field, "items": {"type": field["items"]["type"]}}
    if "anyOf" in field:
        kinds = [arm["type"] for arm in field["anyOf"]]
        return {"type": kinds, **{key: value for key, value in field.items() if key != "anyOf"}}
    return field


def _without_unsaid_limit(field: JSON) -> JSON:
    """Leave out a length that the description does not mention: it only keeps nonsense out, and is checked anyway."""
    said = str(field.get("maxLength")) in field.get("description", "")
    return {key: value for key, value in field.items() if key != "maxLength" or said}


def _without_null(field: JSON) -> JSON:
    arms = [arm for arm in field.get("anyOf", []) if arm != {"type": "null"}]
    if len(arms) != 1:
        return field
    return {**arms[0], **{key: value for key, value in field.items() if key != "anyOf"}}


def _describe_arms(field: JSON) -> JSON:
    """Repeat the description on the first arm: some converters keep only one of the two."""
    first, *others = field["anyOf"]
    return {**field, "anyOf": [{**first, "description": field["description"]}, *others]}
