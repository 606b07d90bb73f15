"""The published schema of any model: flat, complete and valid JSON Schema, and matched by the model's values."""

import json
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    RootModel,
    TypeAdapter,
    create_model,
)

from inkbox_mcp.toolkit.fields import ListItem, WholeNumber
from inkbox_mcp.toolkit.operation import Also, Result
from inkbox_mcp.toolkit.results import fitting
from inkbox_mcp.toolkit.schema import argument_schema, result_schema
from inkbox_mcp.toolkit.sent import IDOrNull, SecondsOrNull, TextOrNull, TimeOrNull
from tests.support.json_schema import keys, mistakes

ID = "123e4567-e89b-42d3-a456-426614174000"
TIME = "2026-05-13T08:30:00.000001Z"


class Colour(Enum):
    """A docstring that no schema should contain."""

    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Part(BaseModel):
    """Another docstring that no schema should contain."""

    name: str
    made: datetime | None = None
    title: str | None = Field(None, description="A field, not the keyword.")


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["strict"] = "strict"
    ge: int


class Loose(BaseModel):
    kind: Literal["loose"]


class Node(BaseModel):
    value: str | None
    children: "list[Node]" = []
    parent: "Node | None" = None


class Message(BaseModel):
    thread: "Thread | None" = None


class Thread(BaseModel):
    messages: list[Message]


class Tree(RootModel["dict[str, Tree] | int"]):
    """A recursive type without fields."""


FIXED: Any = Literal["a", 1, None]  # noqa: PYI061 - other than with `| None`, it is one list of values

TYPES: dict[str, tuple[Any, list[Any], list[Any], Any]] = {
    # Description: the type, values that fit, values that do not fit, and the published schema.
    "items that may be null": (
        list[str | None],
        [[], ["a", None]],
        [[1], None],
        {"type": "array", "items": {"type": ["string", "null"]}},
    ),
    "a list that may be null": (
        list[str] | None,
        [None, ["a"]],
        ["a", [None]],
        {"type": ["array", "null"], "items": {"type": "string"}},
    ),
    "anything": (Any, [None, 1, "a", [{}]], [], {}),
    "anything or null": (Any | None, [None, 1, "a", [{}]], [], {}),
    "any JSON": (JsonValue, [None, 1, "a", [{}]], [], {}),
    "a list of anything": (list[Any], [[], [None, 1]], [{}], {"type": "array", "items": {}}),
    "an object of numbers": (
        dict[str, int],
        [{}, {"a": 1}],
        [{"a": "b"}, []],
        {"type": "object", "additionalProperties": {"type": "integer"}},
    ),
    "an object of objects": (
        dict[str, Part | None],
        [{"a": {"name": "b"}, "b": None}],
        [{"a": {}}, {"a": {"name": 1}}],
        {
            "type": "object",
            "additionalProperties": {
                "type": ["object", "null"],
                "properties": {
                    "name": {"type": "string"},
                    "made": {"type": ["string", "null"], "format": "date-time"},
                    "title": {"type": ["string", "null"], "description": "A field, not the keyword."},
                },
                "required": ["name"],
            },
        },
    ),
    "a fixed value": (Literal["a"], ["a"], ["b", None], {"type": "string", "enum": ["a"]}),
    "fixed values": (FIXED, ["a", 1, None], ["b", 2], {"enum": ["a", 1, None]}),
    "fixed values or null": (Literal["a", "b"] | None, ["a", None], ["c"], {"enum": ["a", "b", None]}),
    "an enumeration": (Colour, ["red"], ["green", None], {"type": "string", "enum": ["red", "blue"]}),
    "an enumeration or null": (Colour | None, ["red", None], ["green"], {"enum": ["red", "blue", None]}),
    "an enumeration of numbers": (Level, [1, 2], [3, "1"], {"type": "integer", "enum": [1, 2]}),
    "values of two kinds": (
        Colour | Literal[1] | None,
        ["red", 1, None],
        ["green", 2],
        {"enum": ["red", "blue", 1, None]},
    ),
    "a number, text or null": (int | str | None, [1, "a", None], [1.5, []], {"type": ["integer", "string", "null"]}),
    "two kinds of numbers": (int | float, [1, 1.5], ["1"], {"type": "number"}),
    "yes, no or a number": (bool | int, [True, 1], ["1"], {"type": ["boolean", "integer"]}),
    "a time": (datetime, [TIME], [1], {"type": "string", "format": "date-time"}),
    "a time or null": (datetime | None, [TIME, None], [1], {"type": ["string", "null"], "format": "date-time"}),
    "a time or other text": (datetime | str | None, [TIME, "a", None], [1], {"type": ["string", "null"]}),
    "a time or an id": (
        datetime | UUID | None,
        [TIME, ID, None],
        [1],
        {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "format": "uuid"}, {"type": "null"}]},
    ),
    "a time or its seconds": (
        datetime | float,
        [TIME, 1.5],
        [None],
        {"type": ["string", "number"], "format": "date-time"},
    ),
    "an id": (UUID, [ID], [1, None], {"type": "string", "format": "uuid"}),
    "a day": (date, ["2026-05-13"], [1], {"type": "string", "format": "date"}),
    "an exact number": (Decimal | None, ["1.50", None], [[]], None),
    "a pair": (
        tuple[int, str],
        [[1, "a"]],
        [["a", 1]],
        {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]},
    ),
    "models of one another": (
        list[Strict | Loose],
        [[{"kind": "strict", "ge": 1}, {"kind": "loose"}]],
        [[{"ge": ""}]],
        None,
    ),
    "models that a field tells apart": (
        Annotated[Strict | Loose, Field(discriminator="kind")],
        [{"kind": "strict", "ge": 1}, {"kind": "loose"}],
        [{"kind": "strict"}, {"kind": "neither"}, 1],
        None,
    ),
    "itself": (
        Node,
        [{"value": None, "children": [{"value": "a", "children": [], "parent": {"value": "b"}}]}],
        [{}, {"value": 1}, {"value": None, "children": [1]}, {"value": None, "parent": []}],
        {
            "type": "object",
            "properties": {
                "value": {"type": ["string", "null"]},
                "children": {"type": "array", "items": {"type": "object"}},
                "parent": {"type": ["object", "null"]},
            },
            "required": ["value"],
        },
    ),
    "one another": (
        Thread,
        [{"messages": [{"thread": {"messages": []}}, {}]}],
        [{}, {"messages": [{"thread": 1}]}],
        {
            "type": "object",
            "properties": {
                "messages": {
                    "type": "array",
                    "items": {"type": "object", "properties": {"thread": {"type": ["object", "null"]}}},
                }
            },
            "required": ["messages"],
        },
    ),
    "itself without fields": (Tree, [1, {"a": 1}, {"a": {"b": 1}}], ["a", []], None),
    "a limit behind a validator": (
        Annotated[WholeNumber, Field(gt=0, lt=9, multiple_of=2)],
        [2, 8],
        [0, 9, 3, "2"],
        {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 9, "multipleOf": 2},
    ),
    "a limit before a validator": (
        Annotated[int, Field(ge=1, le=9), AfterValidator(int)],
        [1, 9],
        [0, 10],
        {"type": "integer", "minimum": 1, "maximum": 9},
    ),
    "a limit of a union": (
        Annotated[int | str, Field(ge=1)],
        [1],
        [0],
        {"type": ["integer", "string"], "minimum": 1},
    ),
    "a limit that is no number": (
        Annotated[date, BeforeValidator(lambda day: day), Field(ge=date(2026, 1, 1))],
        ["2026-05-13"],
        [],
        {"type": "string", "format": "date"},
    ),
    "digits behind a validator": (
        Annotated[Decimal, BeforeValidator(lambda number: number), Field(max_digits=3, decimal_places=1)],
        ["1.5"],
        [[]],
        None,
    ),
    "a list behind a validator": (
        Annotated[list[ListItem], BeforeValidator(lambda items: items), Field(min_length=1, max_length=9)],
        [["a"]],
        [[1], "a"],
        {"type": "array", "items": {"type": "string"}},
    ),
}


def published(kind: Any, flatten: Callable[[Any], Any] = result_schema, mode: Any = "serialization") -> Any:
    """Return the published schema of a field of this type."""
    schema = flatten(create_model("Model", __doc__="A docstring.", field=(kind, ...)).model_json_schema(mode=mode))
    assert set(schema) == {"type", "properties", "required"}
    assert not mistakes(schema)
    return schema["properties"]["field"]


@pytest.mark.parametrize("name", TYPES)
def test_what_a_type_holds_fits_what_is_published_of_it_and_nothing_else_does(name: str) -> None:
    """A result schema must accept all values of the type and refuse others."""
    kind, fits, does_not_fit, expected = TYPES[name]
    schema = published(kind)
    for value in fits:
        TypeAdapter(kind).validate_python(value)
        jsonschema.validate(value, schema)
    for value in does_not_fit:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(value, schema)
    if expected is not None:
        types = {"type": schema["type"]} if "enum" in expected and "type" in schema else {}
        assert schema == {**types, **expected}


@pytest.mark.parametrize("name", TYPES)
def test_what_is_published_is_flat(name: str) -> None:
    """Schemas of arguments and results have no references, no titles and no docstrings."""
    kind, *_ = TYPES[name]
    for schema in (published(kind), published(kind, argument_schema, "validation")):
        assert not keys(schema) & {"$ref", "$defs", "const", "oneOf", "discriminator", "default"} - {"default"}
        assert "docstring" not in json.dumps(schema)
        assert not isinstance(schema.get("title"), str)


@pytest.mark.parametrize("name", [name for name, (_, fits, *_) in TYPES.items() if None not in fits])
def test_what_a_type_holds_fits_the_argument_too(name: str) -> None:
    """Only null is refused, because it counts as an omitted argument."""
    kind, fits, *_ = TYPES[name]
    for value in fits:
        jsonschema.validate(value, published(kind, argument_schema, "validation"))


@pytest.mark.parametrize("kind", [FIXED, Literal["a"] | None, int | str | None, Colour | None, list[str] | None])
def test_an_argument_that_may_be_omitted_has_no_null(kind: Any) -> None:
    """Removing null leaves a plain type, so the schema needs no `anyOf` either."""
    schema = published(kind, argument_schema, "validation")
    assert "null" not in json.dumps(schema)
    assert "anyOf" not in schema


def test_an_argument_that_may_be_null_keeps_its_arms() -> None:
    """Each arm keeps its type, and the first one also repeats the description."""

    class Arguments(BaseModel):
        url: Annotated[str | None, Field(description="A URL, or null.")] = None
        level: Level | None = None

    schema = argument_schema(Arguments.model_json_schema(), {"url", "level"})
    assert schema["properties"] == {
        "url": {
            "anyOf": [{"type": "string", "description": "A URL, or null."}, {"type": "null"}],
            "description": "A URL, or null.",
        },
        "level": {"anyOf": [{"type": "integer", "enum": [1, 2]}, {"type": "null"}]},
    }


def test_a_field_may_be_named_like_a_keyword() -> None:
    """The names of fields must not be treated as keywords at any depth."""

    class Inner(BaseModel):
        title: str
        ge: int

    class Names(BaseModel):
        default: Inner
        properties: list[Inner]
        description: str
        anyOf: str  # noqa: N815

    schema = result_schema(Names.model_json_schema(mode="serialization"))
    assert set(schema["properties"]) == {"default", "properties", "description", "anyOf"}
    assert set(schema["properties"]["properties"]["items"]["properties"]) == {"title", "ge"}
    assert not mistakes(schema)


def test_a_field_keeps_its_own_description() -> None:
    """The field's description stays, while the docstring of its model is removed."""

    class Whole(BaseModel):
        part: Part = Field(description="The part.")
        parts: list[Part] = Field([], description="The parts.")

    properties = result_schema(Whole.model_json_schema(mode="serialization"))["properties"]
    assert (properties["part"]["description"], properties["parts"]["description"]) == ("The part.", "The parts.")
    assert "description" not in properties["parts"]["items"]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "ge": 1},
        {"properties": {"ge": {"le": 1}}},
        {"items": {"anyOf": [{"max_length": 1}]}},
        {"additionalProperties": {"nullable": True}},
        {"type": "text"},
        {"required": "a"},
    ],
)
def test_what_is_no_json_schema_is_found(schema: Any) -> None:
    """These cases check the helper `mistakes` itself, including nested schemas."""
    assert mistakes(schema)


def test_the_name_of_a_field_is_no_unknown_keyword() -> None:
    """Fixed and default values are not searched for keywords either."""
    assert not mistakes({"properties": {"ge": {"type": "integer"}}, "default": {"ge": 1}, "enum": [{"le": 1}]})


class Inside(Result):
    also: ClassVar[Also] = {"id": IDOrNull, "at": TimeOrNull}


class Sent(Result):
    """A result with a field of each type."""

    also: ClassVar[Also] = {
        "text": TextOrNull,
        "at": TimeOrNull,
        "seconds": SecondsOrNull,
        "url": TextOrNull,
        "inside": Inside | None,
        "many": list[Inside] | None,
    }

    name: str
    label: TextOrNull = None
    when: SecondsOrNull = None


SCHEMA = result_schema(Sent.model_json_schema(mode="serialization"))
RIGHT: dict[str, Any] = {
    "unknown": {"title": [None, 1.5]},
    "many": [{"at": TIME, "more": 1, "id": None}],
    "inside": {"more": True, "id": ID},
    "url": "https://example.com/",
    "seconds": 1.5,
    "at": TIME,
    "text": None,
}


def as_sent(data: dict[str, Any]) -> Any:
    """Return the data that a client receives."""
    return fitting(Sent.model_validate(data).model_dump(exclude_unset=True), SCHEMA)


def test_published_fields_are_passed_on_as_they_come_and_where_they_come() -> None:
    """The text stays the same byte by byte, and absent fields stay absent."""
    assert json.dumps(as_sent({"name": "a"} | RIGHT)) == json.dumps({"name": "a"} | RIGHT)
    assert as_sent({"name": "a"}) == {"name": "a"}
    jsonschema.validate({"name": "a"} | RIGHT, SCHEMA)


@pytest.mark.parametrize("odd", [None, 5, 1.5, True, "soon", [], [1], {}, {"a": [None]}], ids=str)
@pytest.mark.parametrize("name", ["label", "when", *RIGHT])
def test_an_odd_field_is_no_reason_to_refuse_the_answer(name: str, odd: Any) -> None:
    """The odd value is converted to the published type, so strict clients accept the result."""
    shown = as_sent({"name": "a"} | {name: odd})
    jsonschema.validate(shown, SCHEMA)
    assert shown["name"] == "a"
    if name == "unknown":
        assert shown["unknown"] == odd
    elif name in {"inside", "many"}:
        assert shown.get(name) in (None, [], odd)  # odd objects and odd items are left out
    else:
        assert shown[name] in (odd, json.dumps(odd, separators=(",", ":")))


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*RIGHT, "id"]), inner, max_size=3),
    max_leaves=10,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys([*RIGHT, "label", "when"], anything)))
def test_whatever_is_sent_fits_what_is_published(data: dict[str, Any]) -> None:
    """Only the required field `name` must be valid."""
    jsonschema.validate(as_sent({"name": "a"} | data), SCHEMA)
