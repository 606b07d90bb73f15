"""Makes JSON Schemas that every client and model API accepts from pydantic's.

Model APIs refuse, drop or crash on parts of JSON Schema: `$ref` and `$defs`, `anyOf` in arguments, `title`,
`additionalProperties`. Published schemas are flat and have none of these. Calls are still checked against the whole
models.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, cast

from inkbox_mcp.toolkit.unions import JSON, typed, union

_NULL = {"type": "null"}

# Lengths that only exclude nonsense are checked at call time. The last three are not JSON Schema.
_NOISE = frozenset(
    {"$defs", "title", "maxItems", "minItems", "minLength", "decimal_places", "discriminator", "max_digits"}
)
# Pydantic publishes these names of its own for limits on types with a custom validator.
_LIMITS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
}
_HOLD_ONE = frozenset({"additionalProperties", "contains", "items", "not", "propertyNames"})
_HOLD_MANY = frozenset({"allOf", "prefixItems"})
_HOLD_NAMED = frozenset({"patternProperties", "properties"})


def argument_schema(schema: JSON, nullable: AbstractSet[str] = frozenset()) -> JSON:
    """Flatten the schema of an argument model.

    Args:
        schema: pydantic's.
        nullable: names of the arguments for which null is a value. For others it only means omitted, and is removed.
    """
    flattening = _Flattening(schema, _NOISE | {"additionalProperties"})
    root, path = flattening.resolve(schema)
    fields: dict[str, JSON] = {}
    for name, field in root.get("properties", {}).items():
        node, way = flattening.resolve(field, path)
        rest = flattening.flat({key: value for key, value in node.items() if key not in {"anyOf", "oneOf"}}, way)
        union_of: list[JSON] = node.get("anyOf") or node.get("oneOf") or []
        arms = [flattening.flat(arm, way) for arm in union_of]
        if name in nullable:
            fields[name] = _with_arms(rest, arms)
        else:
            arms = [_without_null(arm) for arm in arms if arm != _NULL]
            fields[name] = _without_unsaid_limit(_without_null({**(union(arms) if arms else {}), **rest}))
    return {**_without(flattening.flat({**root, "properties": {}}, path), "description"), "properties": fields}


def result_schema(schema: JSON) -> JSON:
    """Flatten the schema of a result model, with the fields of items, formats, and null.

    Defaults are removed, because absent fields stay absent. Docstrings are removed: they are for readers of the code.

    Args:
        schema: pydantic's, in its serialization mode.
    """
    flattening = _Flattening(schema, _NOISE | {"default"})
    return _without(flattening.flat(schema), "description")


class _Flattening:
    """Replaces references by their definitions, and removes noise.

    Args:
        schema: the whole schema, with its definitions.
        noise: keywords to remove.
    """

    def __init__(self, schema: JSON, noise: AbstractSet[str]) -> None:
        self._definitions: JSON = schema.get("$defs", {})
        self._noise = noise

    def resolve(self, node: JSON, path: tuple[str, ...] = ()) -> tuple[JSON, tuple[str, ...]]:
        """Replace a reference by its definition, and add the definition's name to the path.

        Other keywords of the node, such as a description, have priority over those of the definition. A recursive
        definition is cut: inside itself it is only its type.
        """
        while "$ref" in node:
            name = node["$ref"].removeprefix("#/$defs/")
            definition = _without(self._definitions[name], "description")
            if name in path:
                definition = {key: value for key, value in definition.items() if key == "type"}
            path = (*path, name)
            node = {**definition, **_without(node, "$ref")}
        return node, path

    def flat(self, node: JSON, path: tuple[str, ...] = ()) -> JSON:
        """Flatten a schema and all schemas in it."""
        node, path = self.resolve(node, path)
        flat: JSON = {}
        for keyword, value in node.items():
            if keyword in self._noise or (keyword == "default" and value is None):
                continue
            match keyword:
                case "anyOf" | "oneOf":
                    flat = {**union([self.flat(arm, path) for arm in value]), **flat}
                case "additionalProperties" if isinstance(value, bool):
                    continue  # unknown fields are passed on
                case _ if keyword in _LIMITS:
                    if isinstance(value, int | float):
                        flat[_LIMITS[keyword]] = value
                case _:
                    flat[keyword] = self._inside(keyword, value, path)
        return typed(flat)

    def _inside(self, keyword: str, value: Any, path: tuple[str, ...]) -> Any:
        if keyword in _HOLD_ONE and isinstance(value, dict):
            return self.flat(cast("JSON", value), path)
        if keyword in _HOLD_MANY:
            return [self.flat(schema, path) for schema in value]
        if keyword in _HOLD_NAMED:
            return {name: self.flat(schema, path) for name, schema in value.items()}
        return value


def _without(schema: Mapping[str, Any], keyword: str) -> JSON:
    return {key: value for key, value in schema.items() if key != keyword}


def _without_unsaid_limit(field: JSON) -> JSON:
    """Remove a length that the description does not mention. It only excludes nonsense, and is checked anyway."""
    said = str(field.get("maxLength")) in field.get("description", "")
    return field if said else _without(field, "maxLength")


def _without_null(field: JSON) -> JSON:
    """Remove null from the values of a field."""
    if None not in field.get("enum", []):
        return field
    return typed({**_without(field, "type"), "enum": [value for value in field["enum"] if value is not None]})


def _with_arms(field: JSON, arms: list[JSON]) -> JSON:
    """Repeat the description on the first arm, because some converters keep only one of the two."""
    if not arms:
        return field
    said = {key: value for key, value in field.items() if key == "description"}
    return {"anyOf": [{**arms[0], **said}, *arms[1:]], **field}
