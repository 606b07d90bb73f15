"""Types of fields that the API sends: published with their format, and not validated.

An invalid value in such a field never makes an answer fail; it is passed on, as JSON text if its type is wrong.

URLs and addresses have no published format. Inkbox accepts some, such as `https://example.com/a|b`, that do not match
the formats `uri` and `email`, and clients that check formats would refuse the whole result.
"""

from typing import Annotated, Any

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import to_json


def _or_text(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    try:
        return validate(value)
    except ValidationError:
        return to_json(value, inf_nan_mode="constants").decode()


ID = Annotated[str, Field(json_schema_extra={"format": "uuid"})]
"""A UUID."""

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""ISO 8601, with its offset from UTC."""

_Lenient = WrapValidator(_or_text)

TextOrNull = Annotated[str | None, _Lenient]
"""Text, or null."""

IDOrNull = Annotated[ID | None, _Lenient]
"""A UUID, or null."""

TimeOrNull = Annotated[Time | None, _Lenient]
"""ISO 8601, or null."""

SecondsOrNull = Annotated[Annotated[float, Field(strict=True)] | str | None, _Lenient]
"""Seconds since 1970, or ISO 8601 as text, or null."""

NumberOrNull = Annotated[Annotated[float, Field(strict=True)] | None, _Lenient]
"""A number, or null."""

BooleanOrNull = Annotated[bool | None, _Lenient]
"""True, false, or null."""

ObjectOrNull = Annotated[dict[str, Any] | None, _Lenient]
"""An object, or null."""
