"""An Inkbox whose organization moves from one generation of the API to the other."""

import httpx2

WEBHOOKS = "/api/v1/webhooks/subscriptions"


class Moving:
    """An Inkbox of a generation, which counts its requests.

    Attributes:
        generation: of its answers; None if it answers nothing but 500.
        requests: method and path of each.
    """

    def __init__(self, generation: str | None = "identity") -> None:
        self.generation = generation
        self.requests: list[str] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(f"{request.method} {request.url.path}")
        moved = self.generation == "identity"
        if self.generation is None:
            return httpx2.Response(500, json={"detail": "boom"})
        if request.url.path.startswith(WEBHOOKS):
            return httpx2.Response(200, json={"subscriptions": []}) if moved else refused(404, "Not Found")
        if moved and request.method != "GET" and "mail/mailboxes" in request.url.path:
            return refused(405, "Method Not Allowed")
        own = {"inbound_filter_mode": "blacklist"} if moved else {"status": "active"}
        whole = {"id": "1", "email_address": "a@inkboxmail.com", "agent_handle": "a", **own}
        is_list = request.url.path.endswith(("mailboxes", "identities"))
        return httpx2.Response(200, json=[whole] if is_list else whole)


def refused(status: int, detail: str) -> httpx2.Response:
    """Return a refusal with a reason."""
    return httpx2.Response(status, json={"detail": detail})
