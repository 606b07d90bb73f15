"""Divides a mail into what its writer wrote and what it quotes or forwards.

Programs mark a quotation by ">", by a line that says who wrote when, by a dashed line, or by the headers of the quoted
mail. Each line is looked at once, together with at most four of its neighbours.
"""

import re
from typing import NamedTuple

_LONGEST = 400  # characters of a line that says who wrote
_CONTEXT = 3
# A second "|" makes the line a row of a table.
_QUOTED = re.compile(r"[ \t]{0,3}(?:[>\uff1e]|\|(?![^|]*\|))")
# Without one of these, words are as likely the writer's own as the beginning of a quotation.
_CLOCK = re.compile(r"\d{1,2}[:h.]\d{2}(?![.\d])")
_SURE = re.compile(r"[^\s@]@[^\s@]|" + _CLOCK.pattern)
_WROTE = re.compile(
    r"On\b.* wrote|Am\b.* schrieb.*|.* schrieb am .*|Le\b.* a écrit|El\b.* escribió|Il\b.* ha scritto.*|"
    r"(?:Em|No dia|A)\b.* escreveu.*|Op\b.* (?:schreef.*|heeft .*geschreven)|.* (?:пишет|написал(?:а|\(а\))?)|"
    r"Den\b.* skrev.*|W dniu\b.* pisze|.* (?:şunu yazdı|yazdı)|.*(?:写道|寫道|のメール|さんは書きました|님이 작성)|"
    r"\d{4}年\d{1,2}月\d{1,2}日.*(?:<[^<>]{1,320}>|\d{1,2}:\d{2}.*@.*)",
    re.IGNORECASE | re.DOTALL,
)
_BEGINS = re.compile(r"(?:On|Am|Le|El|Il|Em|No dia|A|Op|Den|W dniu|在|\d{4}年)\b|[\w .,]{0,40}\d", re.IGNORECASE)
_DASHED = re.compile(
    r"[-_ ]{2,}(?:Original[- ](?:Message|Nachricht)|Reply Message|Ursprüngliche (?:Nachricht|Mail)|"
    r"Message d['\u2019]origine|Message original|Mensaje original|Messaggio originale|Mensagem original|"
    r"Oorspronkelijk bericht|Исходное сообщение|原始邮件|原始郵件|元のメッセージ|원본 메시지)[-_ ]{2,}",
    re.IGNORECASE,
)
_FORWARDED = re.compile(
    r"[-_ ]{2,}(?:Forwarded message|Weitergeleitete Nachricht|Message transféré|Mensaje reenviado|"
    r"Messaggio inoltrato|Mensagem encaminhada|Doorgestuurd bericht|Пересланное сообщение|Пересылаемое сообщение|"
    r"转发的邮件|转发邮件|轉寄郵件|転送(?:された)?メッセージ|Forwarded by\b.{0,200})[-_ ]{2,}|"
    r"(?:Begin forwarded message|Anfang der weitergeleiteten Nachricht|Début du message (?:transféré|réexpédié)|"
    r"Inicio del mensaje reenviado|Inizio messaggio inoltrato|Início da mensagem (?:encaminhada|reencaminhada)|"
    r"Begin doorgestuurd bericht|Начало переадресованного сообщения|下面是被转发的邮件|转发的邮件|転送されたメッセージ)"
    r"[:：]",
    re.IGNORECASE,
)
_FROM = re.compile(r"(?:From|Von|De|Da|Van|От|发件人|寄件者|差出人|送信元|보낸 사람) ?[:：]", re.IGNORECASE)
_HEADER = re.compile(
    r"(?:Sent|Date|To|Cc|Subject|Reply-To|Gesendet|Datum|An|Betreff|Envoyé(?: le)?|À|Objet|Enviado(?: el| em)?|Fecha|"
    r"Para|Asunto|Inviato|Data|A|Oggetto|Assunto|Verzonden|Aan|Onderwerp|Отправлено|Дата|Кому|Копия|Тема|"
    r"发送时间|时间|日期|收件人|抄送|主题|寄件日期|收件者|副本|主旨|送信日時|日時|宛先|件名|보낸 날짜|받는 사람|제목)"
    r" ?[:：]",
    re.IGNORECASE,
)
_SUBJECT = re.compile(
    r"(?:Subject|Betreff|Objet|Asunto|Oggetto|Assunto|Onderwerp|Тема|主题|主旨|件名|제목) ?[:：]", re.IGNORECASE
)


class Parts(NamedTuple):
    """A mail in two parts.

    Attributes:
        own: what the writer wrote, signature included. Where own words follow a quotation, its last lines stay above
            them, after "> ".
        quoted: characters of what was left out.
        is_forward: whether what was left out was forwarded, so that it may be what the mail is about.
    """

    own: str
    quoted: int
    is_forward: bool


def split_quotes(text: str) -> Parts:
    """Take out of a mail what it quotes or forwards. If nothing else is in it, `own` is empty.

    Args:
        text: the visible text, with line feeds.
    """
    lines = text.split("\n")
    end, is_forward = _end_of_own(lines)
    kept: list[str] = []
    block: list[str] = []
    for at, line in enumerate(lines[:end]):
        if _QUOTED.match(line):
            if not block:
                _drop_attribution(kept)
            block.append(line)
        elif line.strip() or not block:
            if block and _has_words(lines, at, end):
                kept += _context(block)
            block = []
            kept.append(line)
    while kept and not kept[-1].strip("_-= \t"):
        kept.pop()
    own = "\n".join(kept).strip("\n")
    return Parts(own, max(len(text.strip()) - len(own.strip()), 0), is_forward)


def _end_of_own(lines: list[str]) -> tuple[int, bool]:
    """Return where a quotation begins that goes on to the end, and whether it is forwarded."""
    for at, raw in enumerate(lines):
        line = raw.strip(" \t*")
        if not line or len(line) > _LONGEST or _QUOTED.match(raw):
            continue
        if _FORWARDED.match(line):
            return at, True
        if _DASHED.match(line) or (_FROM.match(line) and _has_headers(lines, at)):
            return at, False
        if (
            line[-1] in ":："
            and (start := _attribution(lines, at)) is not None
            and not _is_marked(lines, at + 1)
            and _SURE.search(" ".join(lines[start : at + 1]))
        ):
            return start, False
    return len(lines), False


def _attribution(lines: list[str], end: int) -> int | None:
    """Return where the sentence begins that ends here and says who wrote when; None if there is none."""
    words = ""
    for at in range(end, max(end - 4, -1), -1):
        line = lines[at].strip(" \t*")
        if not line or _QUOTED.match(line):
            return None
        words = f"{line} {words}".strip()
        if len(words) > _LONGEST:
            return None
        sentence = words.rstrip(" :：")
        begins = _BEGINS.match(line) or ("@" in line and re.search(r"\d{4}", line))
        if begins and re.search(r"[\d@]", sentence) and _WROTE.fullmatch(sentence):
            return at
    return None


def _has_headers(lines: list[str], at: int) -> bool:
    """Whether the headers of a mail begin here, and not those of a form or of a journey."""
    near = [line.strip(" \t*") for line in lines[at + 1 : at + 8]]
    headers = [line for line in near if _HEADER.match(line)]
    if len(headers) < 2:
        return False
    return "@" in lines[at] or (any(map(_SUBJECT.match, headers)) and any(map(_CLOCK.search, headers)))


def _is_marked(lines: list[str], at: int) -> bool:
    """Whether the next line with words is marked as quoted."""
    following = next((line for line in lines[at : at + 4] if line.strip()), "")
    return bool(_QUOTED.match(following))


def _drop_attribution(kept: list[str]) -> None:
    end = len(kept)
    while end and not kept[end - 1].strip() and len(kept) - end < 3:
        end -= 1
    if end and kept[end - 1].rstrip(" *")[-1:] in {":", "：", ">"}:
        start = _attribution(kept, end - 1)
        if start is not None:
            del kept[start:]


def _has_words(lines: list[str], at: int, end: int) -> bool:
    """Whether own words, and not only a signature, follow a quotation."""
    line = lines[at].strip() if at < end else ""
    return line not in {"", "--"} and not re.fullmatch("[-_=]{2,}", line)


def _context(block: list[str]) -> list[str]:
    words = [line for line in block if line.strip(" \t>|\uff1e")]
    return words[-_CONTEXT:]
