"""The types of what the API sends: published with their format, and taken as they come.

What the API promises beyond what a tool cannot do without is never a reason to refuse an answer. Where it is not what
it should be, its JSON text is passed on.

URLs and addresses have no format: some that Inkbox takes, such as `https://example.com/a|b`, are none by the formats
`uri` and `email`, and clients that check formats would refuse the whole result.
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
