"""Finds the hosts that URLs lead to and that texts name, as a browser and a person read them."""

import re
import unicodedata
from ipaddress import IPv4Address
from urllib.parse import unquote

_URL = re.compile(r"https?:[/\\]{1,9}[^\s<>\"、。，；：！？「」『』【】《》（）]+", re.IGNORECASE)
_NAMED_HOST = re.compile(
    r"(?<![\w@.-])(?:(?P<ip>(?:\d{1,3}\.){3}\d{1,3})|(?:[\w-]{1,63}\.){1,8}[^\W\d_][\w-]{1,62})(?![\w@-]|\.\d)"
)
# Between other letters, the last two end a sentence.
_DOTS = re.compile("[\uff0e\u2024]|(?<=[0-9A-Za-z])[\u3002\uff61](?=[0-9A-Za-z])")
_NUMERIC = re.compile(r"(?:^|\.)(?:\d+|0x[0-9a-f]*)$")
_VERSION = re.compile(r"(?:\b(?:version|release|build|firmware|update|upgrade|patch)|\bv\.?)\W{0,3}$", re.IGNORECASE)
_FILES = frozenset(
    "pdf doc docx xls xlsx ppt pptx odt ods zip rar gz png jpg jpeg gif svg webp txt csv html htm xml json ics eml mp3 "
    "mp4 mov exe dmg py js ts md".split()
)
# Endings that are no word that can follow the full stop of a sentence without a blank, and all of two letters.
_ENDINGS = frozenset(
    "com net org edu gov mil int info biz app dev xyz cloud рф бел укр срб 中国 中國 香港 台灣 한국".split()
)
_CLASSIC = frozenset({"com", "net", "org", "info", "biz"})
_SECOND_LEVEL = frozenset("ac co com edu gob gov govt go gv ltd me mil ne net nom or org plc sch".split())
_SHARED = frozenset(
    "github.io gitlab.io pages.dev workers.dev web.app firebaseapp.com herokuapp.com netlify.app vercel.app "
    "blogspot.com wordpress.com azurewebsites.net amazonaws.com cloudfront.net appspot.com onrender.com glitch.me "
    "wixsite.com weebly.com myshopify.com sharepoint.com ngrok.io ngrok.app trycloudflare.com".split()
)


def split_url(href: str) -> tuple[str, str, str] | None:
    """Return a URL, its host and its user information as a browser reads it; None if it does not lead to a website."""
    href = re.sub(
        r"[\x00-\x20\x7f]", lambda sign: "" if sign[0] in "\t\n\r" else "%20", href.strip("".join(map(chr, range(33))))
    )
    scheme, colon, rest = href.partition(":")
    if not colon or scheme.lower() not in {"http", "https"}:
        return None
    rest = rest.lstrip("/\\")
    end = min((at for at in map(rest.find, "/\\?#") if at >= 0), default=len(rest))
    authority, tail = rest[:end], rest[end:]
    if tail.startswith("\\"):
        tail = f"/{tail[1:]}"
    user, _, place = authority.rpartition("@")
    name, port = place, ""
    if (found := re.fullmatch(r"(.*):(\d{0,5})", place)) and not place.endswith("]"):
        name, port = found[1], found[2]
    host = ascii_host(name)
    if host is None:
        return None
    shown_user = f"{user}@" if user else ""
    url = f"{scheme.lower()}://{shown_user}{host}{f':{port}' if port else ''}{tail}"
    return url, host, unquote(user)


def ascii_host(name: str) -> str | None:
    """Return a host in lower case, an international name in its "xn--" form; None if it is none."""
    if not 0 < len(name) <= 255:
        return None
    plain = unicodedata.normalize("NFKC", unquote(name)).lower().replace("\u3002", ".")
    labels = [
        label if label.isascii() else f"xn--{label.encode('punycode', 'replace').decode('ascii')}"
        for label in plain.rstrip(".").split(".")
    ]
    host = ".".join(labels)
    if _NUMERIC.search(host):
        return _ip_address(labels)
    return host if all(labels) and re.fullmatch(r"[a-z0-9_.-]{1,253}|\[[0-9a-f:.]{2,45}\]", host) else None


def _ip_address(labels: list[str]) -> str | None:
    """Return the IPv4 address that browsers read in numbers, which can be hexadecimal, octal and fewer than four."""
    if len(labels) > 4 or not all(re.fullmatch(r"0x[0-9a-f]{0,8}|0[0-7]{0,11}|[1-9]\d{0,9}", each) for each in labels):
        return None
    *firsts, last = [
        int(each[2:] or "0", 16) if each[:2] == "0x" else int(each, 8 if each[0] == "0" else 10) for each in labels
    ]
    if any(each > 255 for each in firsts) or last >= 256 ** (4 - len(firsts)):
        return None
    return str(IPv4Address(sum(each << 8 * (3 - at) for at, each in enumerate(firsts)) + last))


def named_hosts(text: str, host: str = "") -> list[str]:
    """Return the hosts that a short text names for the reader, in ASCII.

    A name without a scheme, "www." or a path is one if it ends as hosts do, or if it is all of the text. "Mr.Smith" and
    "see v2.beta" name none.

    Args:
        text: such as that of a link.
        host: where the link leads; what ends like it ends as hosts do.
    """
    # Full-width and one-dot-leader dots look like others; browsers take most of them for dots.
    text = _DOTS.sub(".", text)
    hosts: list[str] = []

    def note(url: re.Match[str]) -> str:
        if parts := split_url(url[0].rstrip(".,;:!?'*_~|…)]}\u2019\u201d")):
            hosts.append(parts[1])
            # A reader takes what stands before an "@" for the host.
            if "." in parts[2] and (user := ascii_host(parts[2].partition(":")[0])):
                hosts.append(user)
        return " " * len(url[0])

    text = _URL.sub(note, text)
    ending = host.rpartition(".")[2]
    names = [found[0] for found in _NAMED_HOST.finditer(text) if _is_host(found, text, ending)]
    return hosts + [name for name in map(ascii_host, names) if name]


def _is_host(found: re.Match[str], text: str, ending: str) -> bool:
    """Whether a text means a host by words or numbers with dots between them."""
    name, before, after = found[0], text[: found.start()], text[found.end() :]
    if before.endswith("://") or name[:4].lower() == "www.":
        return True
    if found["ip"]:
        return not _VERSION.search(before)
    last = name.rpartition(".")[2]
    is_path = re.match(r"/|:\d", after) is not None
    if last.lower() in _FILES and not is_path:
        return False
    if last != last.lower() and name != name.upper():
        # A sentence that begins without a blank, except for the oldest endings: names are written in any case.
        return last.lower() in _CLASSIC
    if last.lower() in _ENDINGS or last.startswith("xn--") or (len(last) == 2 and last.isascii()):
        return True
    is_all = not before.strip() and not after.strip(" .") and not re.match(r"v?\d|(?:.\.)+[^.]*$", name)
    return is_path or is_all or last.lower() == ending


def site(host: str) -> str:
    """Return the part of a host that one owner has: the last two labels, or three below such as co.uk.

    An IP address is returned whole.
    """
    if host.startswith("[") or _NUMERIC.search(host):
        return host
    labels = host.split(".")
    last = ".".join(labels[-2:])
    if last in _SHARED or (len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _SECOND_LEVEL):
        return ".".join(labels[-3:])
    return last
