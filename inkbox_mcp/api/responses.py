"""What an answer of the API means, as pure functions from `Received` to data or a typed error.

Source of the statuses and error bodies: https://inkbox.ai/docs/api/mail/mailboxes
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar, cast

import pydantic_core
from pydantic import BaseModel, ValidationError
from pydantic_core import SchemaValidator, core_schema

from inkbox_mcp.errors import UnexpectedResponse, api_error

M = TypeVar("M", bound=BaseModel)
FromJSON = Callable[[bytes], object]
"""Reads JSON, and raises a ValueError or RecursionError if it is none."""

MAX_PLACES = 10
"""The most fields that one error names."""

_HALF = re.compile("[\ud800-\udfff]")


class Received(NamedTuple):
    """An answer of the API as it was received.

    Attributes:
        status: the HTTP status.
        headers: names are case-insensitive.
        content: the decompressed body, without the API key.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes


def from_json(content: bytes) -> object:
    """Read JSON. What is no character in it, such as half of a surrogate pair, becomes U+FFFD.

    Raises:
        ValueError: it is no JSON.
        RecursionError: it is nested too deeply.
    """
    try:
        return _parsed(content)
    except ValueError:
        # Strangers can write such halves, and one of them must not hide a whole list. Only this reader takes them.
        text = json.dumps(json.loads(content.decode(errors="replace")), ensure_ascii=False)
        return _parsed(_HALF.sub("\ufffd", text))


def only(*fields: str) -> FromJSON:
    """Return a reader that leaves out all other fields of the objects in a list, which takes half of the time.

    The first object stays whole: its fields show the API's generation.
    """
    whole = core_schema.any_schema()
    kept = {name: core_schema.typed_dict_field(whole, required=False) for name in fields}
    item = core_schema.typed_dict_schema(kept, extra_behavior="ignore")
    items = core_schema.tuple_schema([whole, item], variadic_item_index=1)
    reader = SchemaValidator(items, core_schema.CoreConfig(cache_strings="keys"))

    def read(content: bytes) -> object:
        try:
            return [*reader.validate_json(content)]
        except ValueError:  # an empty list, something else, or not only characters
            return from_json(content)

    return read


def interpret(received: Received, read: FromJSON = from_json) -> object:
    """Turn an answer of the API into plain data, or raise the error it stands for.

    Args:
        received: the answer.
        read: reads the body of a success.

    Returns:
        The content of the JSON body; None for 204.

    Raises:
        APIError: the API refused; its class follows the status.
        UnexpectedResponse: a success that is not JSON, or a redirect.
    """
    status, headers, content = received
    if status == HTTPStatus.NO_CONTENT:
        return None
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        raise UnexpectedResponse(f"Inkbox answered with a redirect ({status}), which is not followed.", status=status)
    try:
        data = (read if status < HTTPStatus.MULTIPLE_CHOICES else from_json)(content)
    except (ValueError, RecursionError):
        data = None
        if status < HTTPStatus.MULTIPLE_CHOICES:
            kind = re.match(r"[\w.+-]{1,20}/[\w.+-]{1,20}(?=;|\s|$)", headers.get("content-type", ""))
            raise UnexpectedResponse(
                f"Inkbox answered {status} with something other than JSON ({kind[0] if kind else 'of unknown type'}).",
                status=status,
            ) from None
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return data
    raise api_error(status, _detail(data), retry_after(headers.get("retry-after")))


def _parsed(content: bytes | str) -> object:
    # In a list, names repeat and values do not: caching values too costs a third more time.
    return pydantic_core.from_json(content, allow_inf_nan=False, cache_strings="keys")


def _detail(data: object) -> object:
    """Return the reason from an error's body, with the advice for agents that newer answers have beside it.

    Some answers have no `detail`, and the members of the reason in its place.
    """
    if not isinstance(data, dict):
        return None
    body = cast("dict[str, object]", data)
    if not body.get("detail") and not body.keys().isdisjoint(("error", "code", "message")):
        body = {**body, "detail": {name: value for name, value in body.items() if name != "agent_support"}}
    found = [body[key] for key in ("detail", "agent_support") if body.get(key)]
    return found[0] if len(found) == 1 else found or None


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Read a Retry-After header: seconds to wait, from a number or an HTTP date (RFC 9110, 10.2.3)."""
    if value is None:
        return None
    if re.fullmatch("[0-9]{1,9}", number := value.strip(" \t")):
        return float(number)
    date = http_date(value)
    return date and max(0.0, round((date - (now or datetime.now(UTC))).total_seconds(), 1))


@lru_cache(maxsize=16)  # answers that come within a second have the same
def http_date(value: str | None) -> datetime | None:
    """Read an HTTP date; None if it is missing or invalid."""
    try:
        date = parsedate_to_datetime(value or "")
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def parse(data: object, model: type[M]) -> M:
    """Check that the plain data of a successful answer is what the API promises.

    Raises:
        UnexpectedResponse: naming the fields that are missing or wrong.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        what = f"Inkbox sent an invalid {model.__name__}: {_places(error)} missing or wrong."
        raise UnexpectedResponse(what, status=HTTPStatus.OK) from None


def read_list(data: object) -> list[dict[str, Any]]:
    """Check that the plain data of a successful answer is a list of objects, without validating the objects.

    Raises:
        UnexpectedResponse: it is not.
    """
    # JSON has no subclasses, and `isinstance` of each would take twice as long.
    if not isinstance(data, list) or not {*map(type, cast("list[object]", data))} <= {dict}:
        raise UnexpectedResponse("Inkbox sent something other than a list of objects.", status=HTTPStatus.OK)
    return cast("list[dict[str, Any]]", data)


def _places(error: ValidationError) -> str:
    """Name the fields; if there are many, only count them, because naming them takes seconds."""
    if error.error_count() > MAX_PLACES:
        return f"{error.error_count():,} fields"
    return ", ".join(".".join(map(str, details["loc"])) or "all of it" for details in error.errors())
