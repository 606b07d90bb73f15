"""A very fast Inkbox API: nginx on loopback with fixed answers, so that only the servers are measured."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.processes import free_port, require, running

ROUTE = "/api/v1/mail/mailboxes"
IDENTITIES = "/api/v1/identities"
ECHO = "/echo"

# nginx replaces `$1` with the address in the request's path.
_MAILBOX = json.dumps(
    {
        "id": "aaaa1111-2222-4333-8444-555566667777",
        "email_address": "$1",
        "display_name": "Sales Team",
        "webhook_url": "https://hooks.example.com/mail",
        "status": "active",
        "created_at": "2026-01-15T10:30:00Z",
        "updated_at": "2026-01-15T10:30:00Z",
    },
    separators=(",", ":"),
)
_NEW = _MAILBOX.replace("$1", "sales.team@inkboxmail.com")
_OWNER = json.dumps(
    {"agent_handle": "sales-agent", "status": "active", "email_address": "sales.team@inkboxmail.com"},
    separators=(",", ":"),
)
_EMPTY = '{"items":[],"next_cursor":null,"has_more":false}'
_ECHO = '{"jsonrpc":"2.0","id":$1,"result":{"structuredContent":{"email_address":"$2"}}}'

_CONFIG = f"""
daemon off;
master_process off;
worker_processes 1;
pid nginx.pid;
error_log stderr;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  default_type application/json;
  server {{
    listen 127.0.0.1:%d backlog=4096;
    tcp_nodelay on;
    location = {ROUTE} {{
      if ($request_method = POST) {{ return 201 '{_NEW}'; }}
      return 200 '[{_NEW}]';
    }}
    location = {IDENTITIES} {{
      return 200 '[{_OWNER}]';
    }}
    location ~ ^{ROUTE}/[^/]+/(messages|threads)$ {{
      return 200 '{_EMPTY}';
    }}
    location ~ ^{ROUTE}/([^/]+)$ {{
      if ($request_method = DELETE) {{ return 204; }}
      return 200 '{_MAILBOX}';
    }}
    location ~ ^{ECHO}/([0-9]+)/([^/]+)$ {{
      return 200 '{_ECHO}';
    }}
  }}
}}
"""


@contextmanager
def inkbox_stub(directory: Path) -> Generator[str]:
    """Serve the stub and yield its origin.

    It serves the mailbox routes, where every address has a mailbox without mail, the list of identities, and
    `ECHO/<id>/<address>`, which answers like a server and shows the limit of a load generator.

    Args:
        directory: the place of nginx's files.

    Raises:
        BenchmarkError: nginx is missing or does not start.
    """
    nginx, port = require("nginx"), free_port()
    config = directory / "nginx.conf"
    config.write_text(_CONFIG % port)
    with running([nginx, "-p", str(directory), "-c", str(config)], [port], directory / "nginx.log"):
        yield f"http://127.0.0.1:{port}"
