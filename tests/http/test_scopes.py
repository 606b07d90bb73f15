"""What a token shows and opens: the tools whose scope it has, for mail and for mailboxes apart."""

from itertools import combinations
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import MCPError

from inkbox_mcp.access.scopes import EVERYTHING, MAIL_READ, MAIL_SEND, READ, SCOPES, WRITE, granted, needed, shortest
from inkbox_mcp.catalogue import Catalogues
from inkbox_mcp.errors import NotOffered
from inkbox_mcp.settings.options import Settings
from inkbox_mcp.toolkit.operation import Operation
from inkbox_mcp.tools import operations
from tests.support.agents import connect_http
from tests.support.alike import BOTH, ERAS_ALIKE
from tests.support.authorization_server import AUDIENCE, Issuer
from tests.support.catalogue import EVERY, SPEC
from tests.support.extra_tools import serve_extra
from tests.support.extra_tools.tools import trial
from tests.support.extra_tools.tools.letters import get_letter, send_letter
from tests.support.http_in_process import serve_in_process
from tests.support.messages import HEADERS

SETS = [frozenset(some) for size in range(5) for some in combinations(SCOPES, size)]
ONE_OF_EACH = {READ: "list_mailboxes", WRITE: "create_mailbox", MAIL_READ: "get_letter", MAIL_SEND: "send_letter"}

SERVED: dict[str, Operation[Any, Any]] = {
    tool.name: tool
    for tool in (*SPEC.values(), *vars(trial).values(), get_letter, send_letter)
    if isinstance(tool, Operation)
}


@ERAS_ALIKE
async def test_a_token_shows_and_opens_what_its_scopes_are_for(era: str, issuer: Issuer, tmp_path: Path) -> None:
    """A call of any other tool is answered 403, with a challenge that names its scope beside those of the token."""
    oauth = ("--auth-issuer", issuer.url, "--auth-audience", AUDIENCE)
    async with serve_extra(*oauth, home=tmp_path) as (_, origin):
        for own in ({READ}, {WRITE}, {MAIL_READ}, {MAIL_SEND}, {READ, MAIL_SEND}, EVERYTHING):
            headers = {"Authorization": f"Bearer {issuer.token(scope=' '.join(sorted(own)))}"}
            async with connect_http(f"{origin}/mcp", httpx2.AsyncClient(headers=headers, timeout=20), era) as agent:
                listed = {tool.name for tool in (await agent.client.list_tools()).tools}
                assert listed == {name for name, tool in SERVED.items() if needed(tool) & granted(own)}
                assert "organization_id" in await agent.ask("whoami")
                for scope, tool in ONE_OF_EACH.items():
                    if scope in granted(own):
                        result = await agent.call(tool, agent_handle="sales-agent")
                        assert (result.meta or {}).get("code") in {None, "invalid_arguments", "conflict"}
                    else:
                        with pytest.raises(MCPError):
                            await agent.call(tool)
            async with httpx2.AsyncClient(headers={**HEADERS, **headers}) as http:
                for scope in SCOPES:
                    body = {"id": 1, "method": "tools/call", "params": {"name": ONE_OF_EACH[scope]}}
                    answer = await http.post(f"{origin}/mcp", json=body)
                    assert (answer.status_code == 403) is (scope not in granted(own))
                    if answer.status_code == 403:
                        wanted = " ".join(shortest({*own, scope}))
                        assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
                        assert f'scope="{wanted}"' in answer.headers["WWW-Authenticate"]


async def test_a_token_without_any_of_the_scopes_does_not_connect(issuer: Issuer) -> None:
    """Another scope of the same issuer is none of this server's."""
    async with (
        serve_in_process("--sandbox", "--auth-issuer", issuer.url, "--auth-audience", AUDIENCE) as origin,
        httpx2.AsyncClient(base_url=origin, headers=HEADERS) as http,
    ):
        metadata = (await http.get("/.well-known/oauth-protected-resource/mcp")).json()
        assert metadata["scopes_supported"] == [*SCOPES]
        for other in ("mail", "mail:write", "mailboxes:send", "", "mail:read:all"):
            token = {"Authorization": f"Bearer {issuer.token(scope=other)}"}
            answer = await http.post("/mcp", json={"id": 1, "method": "tools/list"}, headers=token)
            assert answer.status_code == 403
            assert f'scope="{READ} {MAIL_READ}"' in answer.headers["WWW-Authenticate"]


def with_letters(generation: Any) -> dict[str, Operation[Any, Any]]:
    """Return the tools of a generation, and two more that are about mail."""
    return operations(generation) | {tool.name: tool for tool in (get_letter, send_letter)}


@BOTH
@pytest.mark.parametrize("own", SETS, ids=lambda own: "+".join(sorted(own)) or "none")
def test_the_catalogue_refuses_what_a_token_does_not_allow(own: frozenset[str], generation: Any) -> None:
    """It does so by itself, even where the way here did not; the refusal names the scope, and no tool that is off."""
    scopes = granted(own)
    catalogues = Catalogues(Settings(), with_letters)
    catalogue = catalogues.of(generation, scopes)
    for name, tool in with_letters(generation).items():
        of_mail = {MAIL_SEND, *([MAIL_READ] if tool.hints.read_only else [])}
        of_mailboxes = {WRITE, *([READ] if tool.hints.read_only else [])}
        enough = {"mail": of_mail, None: of_mail | of_mailboxes}.get(tool.toolset, of_mailboxes)
        assert (name in catalogue.tools) is not own.isdisjoint(enough)
        if name in catalogue.tools:
            assert catalogues.find(name, generation, scopes) is tool
            continue
        with pytest.raises(NotOffered) as refused:
            catalogues.find(name, generation, scopes)
        named = " or ".join(scope for scope in SCOPES if scope in needed(tool))
        assert refused.value.explain(name, about=catalogue.about) == (
            f"{name} failed: {name} needs the scope {named}, which your access token does not have; nothing was "
            "changed. Tell the user that this needs an access token with that scope."
        )


def test_what_the_operator_has_switched_off_is_said_first() -> None:
    """Another token would not help."""
    for settings, why in (
        ({"read_only": True}, "this server is read-only"),
        ({"toolsets": "mailboxes"}, "switched off"),
    ):
        catalogues = Catalogues(Settings.model_validate(settings), with_letters)
        assert catalogues.scopes_for("send_letter") == set()
        with pytest.raises(NotOffered, match=why):
            catalogues.find("send_letter", "spec", frozenset({READ}))


def test_each_tool_but_whoami_needs_one_scope() -> None:
    """A name that both generations have needs what either of them does; whoami needs one of either kind."""
    catalogues = Catalogues(Settings(), with_letters)
    assert {name: catalogues.scopes_for(name) for name in ONE_OF_EACH.values()} == {
        name: {frozenset({scope})} for scope, name in ONE_OF_EACH.items()
    }
    assert catalogues.scopes_for("whoami") == {frozenset({READ, MAIL_READ})}
    assert catalogues.scopes_for("no_such_tool") == set()
    for tool in EVERY.values():
        assert needed(tool) in catalogues.scopes_for(tool.name)
        kinds = {scope.partition(":")[0] for scope in needed(tool)}
        assert kinds == {"mail": {"mail"}, None: {"mail", "mailboxes"}}.get(tool.toolset, {"mailboxes"})


@pytest.mark.parametrize("own", SETS, ids=lambda own: "+".join(sorted(own)) or "none")
def test_the_shortest_list_of_scopes_grants_the_same(own: frozenset[str]) -> None:
    """A challenge need not name what another scope includes."""
    assert granted(shortest(own)) == granted(own) == granted(granted(own))
    assert len(shortest(own)) <= 2
