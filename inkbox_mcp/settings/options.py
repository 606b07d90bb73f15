"""Every option once: its flag, environment name, default and rule.

An option is a field of `Settings`. `read_only` is the flag `--read-only` and the environment variable
`INKBOX_MCP_READ_ONLY`; the API key and the base URL have the names that all Inkbox software shares.
`inkbox_mcp.settings.sources` reads values, `inkbox_mcp.settings.values` checks them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from inkbox_mcp import install_line
from inkbox_mcp.api.generations import Generation
from inkbox_mcp.settings.values import (
    LOOPBACK,
    Addresses,
    BaseURL,
    CallRate,
    Database,
    ExactURL,
    Folder,
    Handles,
    Host,
    HostNames,
    Hosts,
    Key,
    LowerCase,
    Names,
    Origins,
    Recipients,
    Scopes,
    StateKeys,
    StoreURL,
    Token,
    home_directory,
)

ENVIRONMENT_PREFIX = "INKBOX_MCP_"
SHARED_NAMES = {"api_key": "INKBOX_API_KEY", "base_url": "INKBOX_BASE_URL"}

# Every process of the machine can read command lines.
_NEVER_FLAGS = {"api_key", "token", "request_state_keys"}


class SettingsError(Exception):
    """An option is unknown, or its value is not allowed. The message is one line that names it."""


class Mark(Enum):
    """A property of an option, in the annotation of its field."""

    HTTP = "needs --http"
    SANDBOX = "needs --sandbox"
    LIMIT = "takes something away, so that an empty value cannot be taken for none"


class Group(Enum):
    """The group of an option in help and documentation, in the annotation of its field."""

    INKBOX = "Inkbox"
    CALLERS = "Who may call"
    LIMITS = "Limits"
    OPERATION = "Operation"


Confirm = Literal["auto", "always", "never"]


class Settings(BaseModel):
    """The checked options of a server."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, hide_input_in_errors=True)

    api_key: Annotated[
        Key | None, Group.INKBOX, Field(description="The organization's Inkbox API key; never a flag.")
    ] = None
    base_url: Annotated[BaseURL, Group.INKBOX, Field(description="Where the Inkbox API is.")] = "https://inkbox.ai"
    sandbox: Annotated[
        bool, Group.INKBOX, Field(description="Run on the embedded sandbox instead of the Inkbox API.")
    ] = False
    sandbox_db: Annotated[
        Database, Mark.SANDBOX, Group.INKBOX, Field(description="The sandbox's database file, or :memory:.")
    ] = "~/.inkbox/sandbox.db"
    sandbox_generation: Annotated[
        Generation,
        Mark.SANDBOX,
        Group.INKBOX,
        Field(description="Which generation of the API the sandbox is: `spec` or `identity`."),
    ] = "spec"
    api_generation: Annotated[
        Generation | None,
        Group.INKBOX,
        Field(description="The generation of the organization's API: `spec` or `identity`. Default: the server looks."),
    ] = None
    http: Annotated[bool, Group.CALLERS, Field(description="Serve streamable HTTP at /mcp instead of stdio.")] = False
    host: Annotated[
        Host,
        Mark.HTTP,
        Group.CALLERS,
        Field(description="The address to serve HTTP on; beyond loopback only with authentication."),
    ] = "127.0.0.1"
    token: Annotated[
        Token | None,
        Mark.HTTP,
        Mark.LIMIT,
        Group.CALLERS,
        Field(description="The bearer token that HTTP clients must send; never a flag."),
    ] = None
    per_request_keys: Annotated[
        bool,
        Mark.HTTP,
        Group.CALLERS,
        Field(description="Take the Inkbox key from each request's X-Inkbox-API-Key header; hold none."),
    ] = False
    auth_issuer: Annotated[
        ExactURL | None,
        Mark.HTTP,
        Mark.LIMIT,
        Group.CALLERS,
        Field(description="The OAuth authorization server whose access tokens (JWT) are accepted."),
    ] = None
    auth_audience: Annotated[
        ExactURL | None,
        Mark.HTTP,
        Mark.LIMIT,
        Group.CALLERS,
        Field(description="This server's URL for clients; tokens must be issued for it."),
    ] = None
    auth_scopes: Annotated[
        Scopes,
        Mark.HTTP,
        Mark.LIMIT,
        Group.CALLERS,
        Field(description="Scopes that every token needs besides those for mailboxes and mail (comma-separated)."),
    ] = ()
    allowed_hosts: Annotated[
        HostNames,
        Mark.HTTP,
        Mark.LIMIT,
        Group.CALLERS,
        Field(description="Refuse requests for other hosts (DNS rebinding)."),
    ] = ()
    allowed_origins: Annotated[
        Origins, Mark.HTTP, Group.CALLERS, Field(description="Let web pages of these origins call.")
    ] = ()
    port: Annotated[
        int,
        Mark.HTTP,
        Group.CALLERS,
        Field(ge=0, le=65535, description="The port to serve HTTP on; 0 picks a free one."),
    ] = 8000
    stateless: Annotated[
        bool,
        Mark.HTTP,
        Group.OPERATION,
        Field(description="Keep no sessions: any replica answers any client; some cannot be asked to confirm."),
    ] = False
    drain_timeout: Annotated[
        float,
        Mark.HTTP,
        Group.OPERATION,
        Field(ge=0, le=600, description="Seconds HTTP calls may take to finish after SIGTERM."),
    ] = 10
    rate_limit: Annotated[
        CallRate | None, Group.LIMITS, Field(description="Calls that each caller may make, such as 10/s.")
    ] = None
    rate_limit_store: Annotated[
        StoreURL | None,
        Group.LIMITS,
        Field(description="A Redis in which replicas share the counts of calls and recipients, such as redis://redis."),
    ] = None
    metrics: Annotated[bool, Mark.HTTP, Group.OPERATION, Field(description="Serve Prometheus metrics at /metrics.")] = (
        False
    )
    timeout: Annotated[
        float, Group.LIMITS, Field(gt=0, le=600, description="Seconds that one tool call may take, including retries.")
    ] = 30
    max_concurrency: Annotated[
        int,
        Group.LIMITS,
        Field(ge=1, le=1000, description="Requests to Inkbox under way at once; further calls wait their turn."),
    ] = 32
    max_waits: Annotated[
        int,
        Group.LIMITS,
        Field(ge=1, description="Calls of tools that wait, such as for mail, that each caller may have at once."),
    ] = 200
    read_only: Annotated[bool, Group.LIMITS, Field(description="Offer only the tools that change nothing.")] = False
    toolsets: Annotated[
        Names,
        Mark.LIMIT,
        Group.LIMITS,
        Field(
            description="Offer only these groups of tools: `mailboxes`, `mail`, `webhooks` (comma-separated). With "
            "--tools, a tool must be in both. `whoami` is in every group."
        ),
    ] = ()
    tools: Annotated[
        Names, Mark.LIMIT, Group.LIMITS, Field(description="Offer only these tools (comma-separated).")
    ] = ()
    exclude_tools: Annotated[Names, Mark.LIMIT, Group.LIMITS, Field(description="Do not offer these tools.")] = ()
    confirm: Annotated[
        Confirm,
        Group.LIMITS,
        Field(
            description="Ask before deleting, redirecting or sending mail: `auto` (if the client can; before sending "
            "only where a reply or a forward goes to people outside the thread), `always`, `never`."
        ),
    ] = "auto"
    confirm_timeout: Annotated[
        float,
        Group.LIMITS,
        Field(gt=0, le=3600, description="Seconds in which a question must be answered; then the call ends."),
    ] = 300
    request_state_keys: Annotated[
        StateKeys,
        Mark.HTTP,
        Group.OPERATION,
        Field(description="Secrets by which replicas know their own questions (comma-separated); never a flag."),
    ] = ()
    allow_handles: Annotated[
        Handles, Mark.LIMIT, Group.LIMITS, Field(description="Touch only the agents with these handles (globs).")
    ] = ()
    allow_addresses: Annotated[
        Addresses, Mark.LIMIT, Group.LIMITS, Field(description="Touch only the mailboxes at these addresses (globs).")
    ] = ()
    allow_webhook_hosts: Annotated[
        Hosts, Mark.LIMIT, Group.LIMITS, Field(description="Let webhooks go to these hosts only (globs).")
    ] = ()
    allow_recipients: Annotated[
        Recipients, Mark.LIMIT, Group.LIMITS, Field(description="Send mail to these addresses only (globs).")
    ] = ()
    max_recipients_per_hour: Annotated[
        int,
        Group.LIMITS,
        Field(
            ge=1,
            le=1_000_000,
            description="Recipients (To, Cc and Bcc) that the messages of one Inkbox key may have in an hour.",
        ),
    ] = 100
    attachments_dir: Annotated[
        Folder | None,
        Group.LIMITS,
        Field(
            description="An existing folder in which attachments may be saved, and from which files may be sent; not "
            "with --http. Default: none."
        ),
    ] = None
    no_warm_start: Annotated[
        bool, Group.OPERATION, Field(description="Load everything at each start, and keep no recording for the next.")
    ] = False
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        LowerCase,
        Group.OPERATION,
        Field(description="How much to log on stderr: `debug`, `info`, `warning` or `error`."),
    ] = "info"
    log_format: Annotated[
        Literal["text", "json"],
        LowerCase,
        Group.OPERATION,
        Field(description="Log lines as `text` for people, or as `json` for programs."),
    ] = "text"

    @property
    def generation(self) -> Generation | None:
        """The generation of the API, if the options name it."""
        return self.api_generation or (self.sandbox_generation if self.sandbox else None)

    @property
    def tells_callers_apart(self) -> bool:
        """Whether callers have different names, or there is only one."""
        return not self.http or self.per_request_keys or self.auth_issuer is not None

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host in LOOPBACK

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for contradiction in self._contradictions():
            raise ValueError(contradiction)
        return self

    def _contradictions(self) -> Iterator[str]:
        if self.http:
            yield from self._http_contradictions()
        if self.sandbox:
            yield from self._sandbox_contradictions()
        if self.rate_limit_store and not (find_spec("limits") and find_spec("redis")):
            yield f"--rate-limit-store needs an extra: {install_line('rate-limit')}"

    def _http_contradictions(self) -> Iterator[str]:
        if self.attachments_dir:
            yield "--attachments-dir: not with --http, over which nothing is ever read from or written to this disk"
        if not self.is_local and not (self.token or self.per_request_keys or self.auth_issuer):
            yield (
                f"--host {self.host}: whoever reaches the server can use its mailboxes, so beyond this machine it "
                "needs INKBOX_MCP_TOKEN, --per-request-keys, or --auth-issuer with --auth-audience"
            )
        if bool(self.auth_issuer) != bool(self.auth_audience):
            yield "--auth-issuer and --auth-audience need each other"
        if self.auth_scopes and not self.auth_issuer:
            yield "--auth-scopes needs --auth-issuer"
        if self.token and self.auth_issuer:
            yield "INKBOX_MCP_TOKEN and --auth-issuer: only one can say who is calling"
        if self.per_request_keys and self.api_key and not self.sandbox:
            yield "--per-request-keys: the server must not have an Inkbox key of its own, but api_key is set"
        if self.per_request_keys and not (self.is_local or self.stateless or self.token or self.auth_issuer):
            yield (
                "--per-request-keys: anybody could use up the sessions, so beyond this machine it needs --stateless, "
                "INKBOX_MCP_TOKEN, or --auth-issuer with --auth-audience"
            )
        if self.metrics and not find_spec("prometheus_client"):
            yield f"--metrics needs an extra: {install_line('metrics')}"

    def _sandbox_contradictions(self) -> Iterator[str]:
        if self.sandbox_db.startswith("~"):
            yield f"--sandbox-db: there is no home directory for {self.sandbox_db}; name another file, or :memory:"
        elif (home := home_directory()) and home in Path(self.sandbox_db).parents and not home.is_dir():
            yield f"--sandbox-db: there is no home directory {home}; name a file elsewhere, or :memory:"


@dataclass(frozen=True)
class Option:
    """One option's names and documentation."""

    name: str
    default: Any
    help: str
    is_switch: bool
    is_list: bool
    marks: tuple[Mark, ...]
    group: Group

    @property
    def flag(self) -> str | None:
        """The flag, or None for a secret."""
        return None if self.name in _NEVER_FLAGS else f"--{self.name.replace('_', '-')}"

    @property
    def environment(self) -> str:
        """The environment variable."""
        return SHARED_NAMES.get(self.name) or ENVIRONMENT_PREFIX + self.name.upper()


def options() -> list[Option]:
    """List all options, in the order of the documentation."""
    return [
        Option(
            name,
            field.default,
            field.description or "",
            is_switch=field.annotation is bool,
            is_list=isinstance(field.default, tuple),
            marks=tuple(mark for mark in field.metadata if isinstance(mark, Mark)),
            group=next(group for group in field.metadata if isinstance(group, Group)),
        )
        for name, field in Settings.model_fields.items()
    ]
