"""The form in which a human agrees, and what its answers mean.

The form has one field, because clients fail at a form without fields: some never close it, others accept it without
showing it. So only a form that is accepted with a true field is consent. Clients answer in many ways that no
specification knows; what is not a readable answer is a no instead of an error.
"""

from collections.abc import Container, Mapping
from dataclasses import replace
from typing import Any, cast

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.types import ElicitRequestedSchema, ElicitResult
from pydantic import ValidationError

FORM: ElicitRequestedSchema = {
    "type": "object",
    "properties": {
        "confirm": {"type": "boolean", "title": "Yes, do it", "description": "Without a yes, nothing is changed."}
    },
    "required": ["confirm"],
}
NO = ElicitResult(action="decline")
CANCEL = ElicitResult(action="cancel")


def read_answer(answer: object) -> ElicitResult:
    """Read an answer to the form; return `NO` for anything else."""
    try:
        return ElicitResult.model_validate(answer, by_name=False)
    except ValidationError:
        return NO


def is_yes(answer: ElicitResult) -> bool:
    """Whether a human agreed: only true itself counts, not 1 or "true". Fields besides ours are ignored."""
    return answer.action == "accept" and (answer.content or {}).get("confirm") is True


class ReadableAnswers:
    """Server middleware that makes all answers in a 2026-07-28 call readable before the SDK refuses the call.

    Args:
        tools: the names of the tools that ask with `FORM` only; calls of others are left as they are.
    """

    def __init__(self, tools: Container[str]) -> None:
        self._tools = tools

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Handle a request."""
        match ctx.params:
            case {"name": str() as name, "inputResponses": answers} if name in self._tools:
                return await call_next(replace(ctx, params={**ctx.params, "inputResponses": _readable(answers)}))
            case _:
                return await call_next(ctx)


def _readable(answers: object) -> dict[str, Any]:
    """Return answers with nothing but their actions and fields; those that are in no object are no answers."""
    if not isinstance(answers, Mapping):
        return {}
    return {
        key: read_answer(answer).model_dump(include={"action", "content"})
        for key, answer in cast("Mapping[str, object]", answers).items()
    }
