"""The schema of a sandbox's database, and migrations from earlier releases."""

SCHEMA_VERSION = 2
APPLICATION_ID = 0x496E6B62  # "Inkb": distinguishes our file from other programs' files

# Uniqueness is enforced here only. A deleted mailbox keeps its row, and so its address, but loses its identity. The
# clock makes every timestamp later than all earlier ones, across processes.
_ORGANIZATIONS = """
CREATE TABLE clock (microseconds INTEGER NOT NULL);
INSERT INTO clock VALUES (0);
CREATE TABLE organizations (
    id TEXT NOT NULL PRIMARY KEY,
    created_at INTEGER NOT NULL
);
"""

_IDENTITIES = """
CREATE TABLE identities (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    agent_handle TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('active', 'paused')),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    description TEXT,
    signing_key_created_at INTEGER,
    UNIQUE (organization_id, agent_handle)
);
"""

_MAILBOXES = """
CREATE TABLE mailboxes (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    local_part TEXT NOT NULL UNIQUE CHECK (local_part = lower(local_part)),
    identity_id TEXT UNIQUE REFERENCES identities (id),
    display_name TEXT,
    webhook_url TEXT,
    status TEXT NOT NULL CHECK (status IN ('active', 'paused', 'deleted')),
    inbound_filter_mode TEXT NOT NULL DEFAULT 'blacklist',
    outbound_filter_mode TEXT NOT NULL DEFAULT 'blacklist',
    signature_html TEXT,
    signature_text TEXT,
    signature_enabled INTEGER NOT NULL DEFAULT FALSE,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    CHECK (status <> 'deleted' OR identity_id IS NULL)
);
"""

_MAILBOXES_INDEX = """
CREATE INDEX mailboxes_newest_first ON mailboxes (organization_id, created_at DESC);
"""

# A subscription has no secret: the sandbox delivers nothing, so it signs nothing.
_WEBHOOK_SUBSCRIPTIONS = """
CREATE TABLE webhook_subscriptions (
    id TEXT NOT NULL PRIMARY KEY,
    mailbox_id TEXT NOT NULL REFERENCES mailboxes (id),
    url TEXT NOT NULL,
    event_types TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);
CREATE INDEX webhook_subscriptions_of_mailbox ON webhook_subscriptions (mailbox_id, created_at DESC);
"""

SCHEMA = (_ORGANIZATIONS, _IDENTITIES, _MAILBOXES, _MAILBOXES_INDEX, _WEBHOOK_SUBSCRIPTIONS)

_FROM_1_ADD_COLUMNS = """
ALTER TABLE identities ADD COLUMN description TEXT;
ALTER TABLE identities ADD COLUMN signing_key_created_at INTEGER;
ALTER TABLE mailboxes RENAME TO former_mailboxes;
"""

_FROM_1_COPY_MAILBOXES = """
INSERT INTO mailboxes
    (id, organization_id, local_part, identity_id, display_name, webhook_url, status, created_at, updated_at)
SELECT id, organization_id, local_part, identity_id, display_name, webhook_url, status, created_at, updated_at
FROM former_mailboxes;
DROP TABLE former_mailboxes;
"""

# By the version that each one produces. SQLite cannot drop NOT NULL from a column, so the table is copied. An index
# is dropped with its table; only then is its name free.
MIGRATIONS = {
    1: (_FROM_1_ADD_COLUMNS, _MAILBOXES, _FROM_1_COPY_MAILBOXES, _MAILBOXES_INDEX, _WEBHOOK_SUBSCRIPTIONS),
}
