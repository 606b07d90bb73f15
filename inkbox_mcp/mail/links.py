"""Finds the links of a mail, says where they lead, and puts first what a mail was sent for. Nothing is opened."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Literal
from urllib.parse import unquote

from inkbox_mcp.mail.hosts import named_hosts, site, split_url
from inkbox_mcp.text import one_line

MAX_LINKS = 10
MAX_URL = 4096
"""Characters of a URL; a longer one is left out, because a part of it would lead elsewhere."""
MAX_LABEL = 100
"""Characters of the text of a link."""
_MOST_LOOKED_AT = 500

Kind = Literal["verify", "confirm", "activate", "reset", "sign_in", "other", "unsubscribe"]


@dataclass(frozen=True, slots=True)
class Anchor:
    """A link of HTML: its visible text, and where it leads as it is written."""

    text: str
    href: str


@dataclass(frozen=True, slots=True)
class Link:
    """A link of a mail.

    Attributes:
        url: the whole URL; its host is written in ASCII.
        host: where it leads; an international name in its "xn--" form.
        text: what the mail shows instead of it, or the words before it.
        kind: what it seems to be for, by the words in its text and path.
        misleading: whether its text or its user information names another host than the one it leads to.
    """

    url: str
    host: str
    text: str
    kind: Kind
    misleading: bool


@dataclass(frozen=True, slots=True)
class Links:
    """The most useful links of a mail, and how many others it has.

    Attributes:
        found: at most 10; links that verify or sign in come first, those that unsubscribe last.
        left_out: how many others there are, or are too long to be shown.
    """

    found: tuple[Link, ...]
    left_out: int


_WORDS: dict[Kind, str] = {
    "unsubscribe": r"unsubscri|opt[ _-]?out|list-?manage|abmeld|abbestell|austragen|d[ée]sabonn|désinscri|desinscri|"
    r"darse de baja|cancelar (?:la )?suscripci|disiscri|descadastr|cancelar inscri|afmelden|uitschrijven|отписа|"
    r"退订|退訂|取消订阅|配信停止|登録解除|manage[ _-]?(?:your[ _-]?)?preferences|email[ _-]?preferences",
    "reset": r"reset|forgot|zurücksetz|réinitialis|reinitialis|restablec|reimposta|redefini|herstel|сброс|重置|再設定|"
    r"パスワード(?:変更|リセット)|(?:new|neues) pass?wor[dt]",
    "verify": r"verif|vérif|überprüf|проверить|验证|驗證|認証|検証|인증",
    "confirm": r"confirm|bestätig|bestaetig|conferma|bevestig|подтверд|确认|確認|확인",
    "activate": r"activ(?:at|er|ar|e\b)|aktivier|attiva|ativar|activeren|активир|激活|启用|有効化|활성화|"
    r"complete[ _-](?:your[ _-])?registration|accept[ _-](?:the[ _-])?invit",
    "sign_in": r"magic|sign[ _-]?in|log[ _-]?in\b|one[ _-]?time|anmelde|einloggen|se connecter|connexion|iniciar sesi|"
    r"acceder|accedi|entrar|inloggen|войти|登录|登入|ログイン|サインイン|로그인",
}
_KINDS: dict[Kind, re.Pattern[str]] = {kind: re.compile(words, re.IGNORECASE) for kind, words in _WORDS.items()}
_ORDER: tuple[Kind, ...] = ("verify", "confirm", "activate", "reset", "sign_in", "other", "unsubscribe")
# A URL in angle brackets may go on in the next line (RFC 3986, appendix C).
_IN_TEXT = re.compile(
    r"<(?P<bracketed>https?://[^\s<>\"]+(?:\n[^\s<>\"]+)*)>|(?P<bare>https?://[^\s<>\"、。，；：！？「」『』【】《》（）]+)",
    re.IGNORECASE,
)
_TRAILING = ".,;:!?'*_~|…\u2019\u201d"


def find_links(text: str, anchors: Iterable[Anchor] = ()) -> Links:
    """Find the http and https links of a mail.

    Args:
        text: the visible text.
        anchors: the visible links of its HTML, whose text is known.
    """
    found: dict[str, Link] = {}
    too_long = 0
    pairs = [(anchor.href, anchor.text, True) for anchor in islice(anchors, _MOST_LOOKED_AT)]
    pairs += islice(_in_text(text), _MOST_LOOKED_AT)
    for href, label, is_shown in pairs:
        if len(href) > MAX_URL:
            too_long += href[:8].lower().startswith(("http:", "https:"))
        elif (link := _link(href, label, is_shown=is_shown)) and (
            link.url not in found or (link.text and not found[link.url].text)
        ):
            found[link.url] = link
    ordered = sorted(found.values(), key=lambda link: _ORDER.index(link.kind))
    return Links(tuple(ordered[:MAX_LINKS]), max(len(ordered) - MAX_LINKS, 0) + too_long)


def _link(href: str, label: str, *, is_shown: bool) -> Link | None:
    if not (parts := split_url(href)):
        return None
    url, host, user = parts
    line = one_line(label[: 4 * MAX_LABEL])
    shown = line if len(line) <= MAX_LABEL else f"{line[: MAX_LABEL - 1]}…"
    if shown == url:
        shown = ""
    misleading = "." in user or (is_shown and any(site(name) != site(host) for name in named_hosts(line, host)))
    return Link(url, host, shown, _kind(line, url), misleading)


def _in_text(text: str) -> Iterable[tuple[str, str, bool]]:
    """Yield the URLs in a text, with the words before each and whether these stand directly for it."""
    before = 0
    latest = ""
    for found in _IN_TEXT.finditer(text):
        if bracketed := found["bracketed"]:
            url, is_shown = bracketed.replace("\n", ""), True
        else:
            url, is_shown = _without_trailing(found["bare"]), False
        if "](http" in url:  # Markdown: a URL as the text of a link
            label, _, url = url.partition("](")
            yield url.rstrip(")"), label, True
            before = found.end()
            continue
        above = text[max(before, found.start() - 300) : found.start()].rstrip(" (\u300c<")
        lines = [line for line in above.rsplit("\n", 4)[-3:] if line.strip()]
        label = lines[-1].strip() if lines else ""
        if is_shown and latest and not text[before : found.start()].strip(" "):
            label = latest  # a URL that stands for another one
        latest = "" if is_shown else url
        yield url, label, is_shown and not above.endswith("\n")
        before = found.end()


def _without_trailing(url: str) -> str:
    """Take off the punctuation of the sentence around a URL, and brackets that were opened before it."""
    # Counted once: a URL can be as long as the mail, and end in brackets only.
    unopened = {closing: url.count(closing) - url.count(opening) for opening, closing in ("()", "[]", "{}")}
    end = len(url)
    while end:
        last = url[end - 1]
        if last in unopened and unopened[last] > 0:
            unopened[last] -= 1
        elif last not in _TRAILING:
            break
        end -= 1
    return url[:end]


def _kind(label: str, url: str) -> Kind:
    path = unquote(url.partition("//")[2].partition("/")[2][:300])
    for words in (label, path):
        for kind, pattern in _KINDS.items():
            if pattern.search(words):
                return kind
    return "other"
