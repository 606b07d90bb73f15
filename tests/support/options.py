"""A value for each option, and variables of other programs."""

from pathlib import Path
from tempfile import gettempdir
from typing import Any

from pydantic import SecretStr

from inkbox_mcp.settings.values import Rate

# One valid value of each option that differs from its default: as text, and as the setting.
SAMPLES: dict[str, tuple[str, Any]] = {
    "base_url": ("https://inkbox.example", "https://inkbox.example"),
    "sandbox": ("true", True),
    "sandbox_db": (":memory:", ":memory:"),
    "sandbox_generation": ("identity", "identity"),
    "api_generation": ("identity", "identity"),
    "http": ("1", True),
    "host": ("localhost", "localhost"),
    "per_request_keys": ("true", True),
    "auth_issuer": ("https://issuer.example", "https://issuer.example"),
    "auth_audience": ("https://mcp.example/mcp", "https://mcp.example/mcp"),
    "auth_scopes": ("agents, staff", ("agents", "staff")),
    "allowed_hosts": ("mcp.example", ("mcp.example",)),
    "allowed_origins": ("https://app.example", ("https://app.example",)),
    "port": ("8123", 8123),
    "stateless": ("true", True),
    "drain_timeout": ("2.5", 2.5),
    "confirm_timeout": ("2.5", 2.5),
    "rate_limit": ("10/s", Rate(10, 1, "10/s")),
    "rate_limit_store": ("redis://redis:6379/0", SecretStr("redis://redis:6379/0")),
    "metrics": ("true", True),
    "timeout": ("2.5", 2.5),
    "max_concurrency": ("4", 4),
    "max_waits": ("3", 3),
    "read_only": ("yes", True),
    "toolsets": ("mailboxes, webhooks", ("mailboxes", "webhooks")),
    "tools": ("get_mailbox, list_mailboxes", ("get_mailbox", "list_mailboxes")),
    "exclude_tools": ("delete_mailbox", ("delete_mailbox",)),
    "confirm": ("always", "always"),
    "allow_handles": ("sales-*", ("sales-*",)),
    "allow_addresses": ("sales-*@inkboxmail.com", ("sales-*@inkboxmail.com",)),
    "allow_webhook_hosts": ("hooks.example.com", ("hooks.example.com",)),
    "allow_recipients": ("*@example.com", ("*@example.com",)),
    "max_recipients_per_hour": ("7", 7),
    "attachments_dir": (gettempdir(), Path(gettempdir()).resolve()),
    "no_warm_start": ("true", True),
    "log_level": ("DEBUG", "debug"),
    "log_format": ("JSON", "json"),
}


# Variables of Inkbox's SDKs, of other Inkbox software, of Kubernetes Services, and of unrelated programs.
NAMES_OF_OTHERS = (
    *("INKBOX_VAULT_KEY", "INKBOX_SIGNING_KEY", "INKBOX_WEBHOOK_SECRET", "INKBOX_API_KEY_ID", "INKBOX_API_URL"),
    *("INKBOX_IMAP_HOST", "INKBOX_IMAP_PORT", "INKBOX_SMTP_HOST", "INKBOX_SMTP_PORT", "INKBOX_TUNNEL_TOKEN"),
    *("INKBOX_CONFIG", "INKBOX_PROFILE", "INKBOX_AGENT_HANDLE", "INKBOX_LOG", "INKBOX_DEBUG", "INKBOX_MCP"),
    *("INKBOX_SERVICE_HOST", "INKBOX_SERVICE_PORT", "INKBOX_PORT_80_TCP", "INKBOX_PORT_80_TCP_ADDR"),
    *("PORT", "TOKEN", "READ_ONLY", "INPUT_TOOLS", "INBOX_TOKEN", "MCP_TIMEOUT"),
)
