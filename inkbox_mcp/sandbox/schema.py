"""The schema of a sandbox's database, and migrations from earlier releases."""

SCHEMA_VERSION = 4
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

# A subscription has no secret: what it delivers is signed with the key of the identity.
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

# What a message says is kept once for all mailboxes that have it. Long columns come last, because SQLite reads a row
# only up to the last column that a statement asks for.
_CONTENTS = """
CREATE TABLE contents (
    id INTEGER NOT NULL PRIMARY KEY,
    words TEXT NOT NULL,
    attachments TEXT NOT NULL,
    body_text TEXT,
    body_html TEXT,
    raw BLOB NOT NULL
);
"""

_THREADS = """
CREATE TABLE threads (
    id TEXT NOT NULL PRIMARY KEY,
    mailbox_id TEXT NOT NULL REFERENCES mailboxes (id),
    subject TEXT,
    folder TEXT NOT NULL CHECK (folder IN ('inbox', 'spam', 'blocked', 'archive')),
    created_at INTEGER NOT NULL,
    last_message_at INTEGER NOT NULL
);
CREATE INDEX threads_newest_first ON threads (mailbox_id, last_message_at DESC, id DESC);
CREATE INDEX threads_of_folder ON threads (mailbox_id, folder, last_message_at DESC, id DESC);
"""

# A message is blocked if its thread is: lists of messages would otherwise have to read every thread.
_MESSAGES = """
CREATE TABLE messages (
    id TEXT NOT NULL PRIMARY KEY,
    mailbox_id TEXT NOT NULL REFERENCES mailboxes (id),
    thread_id TEXT NOT NULL REFERENCES threads (id),
    content_id INTEGER NOT NULL REFERENCES contents (id),
    message_id TEXT NOT NULL,
    direction TEXT NOT NULL CHECK (direction IN ('inbound', 'outbound')),
    status TEXT NOT NULL CHECK (status IN ('queued', 'sent', 'delivered', 'bounced', 'failed', 'received')),
    is_blocked INTEGER NOT NULL,
    is_read INTEGER NOT NULL,
    is_starred INTEGER NOT NULL,
    has_attachments INTEGER NOT NULL,
    size INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    from_address TEXT NOT NULL,
    from_display_name TEXT,
    to_addresses TEXT NOT NULL,
    cc_addresses TEXT,
    bcc_addresses TEXT,
    reply_to TEXT,
    subject TEXT,
    snippet TEXT,
    in_reply_to TEXT,
    reference_ids TEXT
);
CREATE INDEX messages_newest_first ON messages (mailbox_id, is_blocked, created_at DESC, id DESC);
CREATE INDEX messages_of_direction ON messages (mailbox_id, is_blocked, direction, created_at DESC, id DESC);
CREATE INDEX messages_of_thread ON messages (thread_id, created_at, id);
CREATE INDEX messages_by_message_id ON messages (mailbox_id, message_id);
CREATE INDEX messages_of_content ON messages (content_id);
"""

_STORAGE = """
ALTER TABLE mailboxes ADD COLUMN storage_used_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE identities ADD COLUMN signing_key TEXT;
"""

# One row each. Any process that has the file can check the URLs that another one signed.
_LIMITS = """
CREATE TABLE limits (
    storage_limit_bytes INTEGER NOT NULL DEFAULT 2147483648,
    recipients_per_day INTEGER,
    attachment_bytes INTEGER NOT NULL DEFAULT 26214400,
    attachment_url_seconds INTEGER NOT NULL DEFAULT 900,
    allowed_recipients TEXT,
    can_receive INTEGER NOT NULL DEFAULT TRUE,
    footer TEXT
);
INSERT INTO limits DEFAULT VALUES;
CREATE TABLE attachment_urls (secret TEXT NOT NULL);
INSERT INTO attachment_urls VALUES (hex(randomblob(32)));
CREATE TABLE recipient_sends (
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    day INTEGER NOT NULL,
    recipients INTEGER NOT NULL,
    PRIMARY KEY (organization_id, day)
);
"""

_IDEMPOTENCY_KEYS = """
CREATE TABLE idempotency_keys (
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    mailbox_id TEXT NOT NULL REFERENCES mailboxes (id),
    operation TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    message_id TEXT NOT NULL,
    answer TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (organization_id, mailbox_id, operation, key)
);
"""

# Not references, because the record stays when its mailbox or its subscription is deleted.
_WEBHOOK_DELIVERIES = """
CREATE TABLE webhook_deliveries (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    mailbox_id TEXT NOT NULL,
    webhook_subscription_id TEXT,
    event_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    url TEXT NOT NULL,
    request_payload TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'sending', 'done')),
    claimed_at INTEGER,
    response_status INTEGER,
    response_body TEXT,
    error_detail TEXT,
    duration_ms INTEGER,
    is_replay INTEGER NOT NULL DEFAULT FALSE,
    created_at INTEGER NOT NULL
);
CREATE INDEX webhook_deliveries_newest_first ON webhook_deliveries (organization_id, created_at DESC, id DESC);
CREATE INDEX webhook_deliveries_to_do ON webhook_deliveries (state, created_at) WHERE state <> 'done';
"""

_FAULTS = """
CREATE TABLE faults (
    id INTEGER NOT NULL PRIMARY KEY,
    operation TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('refused', 'lost', 'slow')),
    effect INTEGER NOT NULL,
    status INTEGER,
    error TEXT,
    retry_after INTEGER,
    seconds REAL NOT NULL,
    remaining INTEGER NOT NULL
);
"""

# What clients with an embedded sandbox called, for people who look at the file; the API shows none of it.
_CALLS = """
CREATE TABLE calls (
    id INTEGER NOT NULL PRIMARY KEY,
    tool TEXT NOT NULL,
    arguments TEXT,
    outcome TEXT NOT NULL,
    error_text TEXT,
    duration_ms REAL NOT NULL,
    client TEXT,
    created_at INTEGER NOT NULL
);
"""

_UNREAD_INDEX = """
CREATE INDEX messages_unread ON messages (mailbox_id) WHERE direction = 'inbound' AND is_read = 0;
"""

_MAIL = (_STORAGE, _CONTENTS, _THREADS, _MESSAGES, _LIMITS, _IDEMPOTENCY_KEYS, _WEBHOOK_DELIVERIES, _FAULTS)

SCHEMA = (
    _ORGANIZATIONS,
    _IDENTITIES,
    _MAILBOXES,
    _MAILBOXES_INDEX,
    _WEBHOOK_SUBSCRIPTIONS,
    *_MAIL,
    _CALLS,
    _UNREAD_INDEX,
)

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

# By the version that each one begins with. SQLite cannot drop NOT NULL from a column, so the table is copied. An index
# is dropped with its table; only then is its name free.
MIGRATIONS = {
    1: (_FROM_1_ADD_COLUMNS, _MAILBOXES, _FROM_1_COPY_MAILBOXES, _MAILBOXES_INDEX, _WEBHOOK_SUBSCRIPTIONS),
    2: _MAIL,
    3: (_CALLS, _UNREAD_INDEX),
}
