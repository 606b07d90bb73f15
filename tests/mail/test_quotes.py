"""Quotations and forwarded mails are taken out, and own words stay."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkbox_mcp.mail.quotes import split_quotes

OWN = "Thanks, that works.\n\n-- \nSam\n+1 415 555 0100"
QUOTED = "Could we meet at ten?\n\nAnn"
WROTE = [
    "On Mon, Jan 5, 2026 at 10:00 AM Ann Example <ann@example.com> wrote:",
    "On Mon, Jan 5, 2026 at 10:00 AM Ann Example With A Very Long Name\n<ann.example@example.com> wrote:",
    "On 5 Jan 2026, at 10:00, Ann Example <ann@example.com> wrote:",
    "Am 05.01.2026 um 10:00 schrieb Ann Example <ann@example.com>:",
    "Am Mo., 5. Jan. 2026 um 10:00 Uhr schrieb Ann Example <\nann@example.com>:",
    "Le lun. 5 janv. 2026 à 10:00, Ann Example <ann@example.com> a écrit :",
    "El lun, 5 ene 2026 a las 10:00, Ann Example (<ann@example.com>) escribió:",
    "Il giorno lun 5 gen 2026 alle ore 10:00 Ann Example <ann@example.com> ha scritto:",
    "Em seg., 5 de jan. de 2026 às 10:00, Ann Example <ann@example.com> escreveu:",
    "Op ma 5 jan 2026 om 10:00 schreef Ann Example <ann@example.com>:",
    "Op 5 jan. 2026 om 10:00 heeft Ann Example <ann@example.com> het volgende geschreven:",
    "пн, 5 янв. 2026 г. в 10:00, Ann Example <ann@example.com> написал(а):",
    "Ann Example <ann@example.com> 于2026年1月5日周一 10:00写道：",
    "在 2026年1月5日，10:00，Ann Example <ann@example.com> 写道：",
    "2026年1月5日(月) 10:00 Ann Example <ann@example.com>:",
    "2026/01/05 10:00、Ann Example <ann@example.com>のメール:",
]
HEADERS = [
    "From: Ann <ann@example.com>\nSent: Monday, January 5, 2026 10:00 AM\nTo: Sam <sam@example.com>\nSubject: Meeting",
    "*From:* Ann <ann@example.com>\n*Date:* Monday, January 5, 2026\n*To:* Sam\n*Subject:* Meeting",
    "Von: Ann <ann@example.com>\nGesendet: Montag, 5. Januar 2026 10:00\nAn: Sam\nBetreff: Treffen",
    "De : Ann <ann@example.com>\nEnvoyé : lundi 5 janvier 2026 10:00\nÀ : Sam\nObjet : Réunion",
    "De: Ann <ann@example.com>\nEnviado el: lunes, 5 de enero de 2026\nPara: Sam\nAsunto: Reunión",
    "Da: Ann <ann@example.com>\nInviato: lunedì 5 gennaio 2026\nA: Sam\nOggetto: Riunione",
    "De: Ann <ann@example.com>\nEnviada em: segunda\nEnviado: segunda-feira\nPara: Sam\nAssunto: Reunião",
    "Van: Ann <ann@example.com>\nVerzonden: maandag 5 januari 2026\nAan: Sam\nOnderwerp: Overleg",
    "От: Ann <ann@example.com>\nОтправлено: 5 января 2026\nКому: Sam\nТема: Встреча",
    "发件人: Ann <ann@example.com>\n发送时间: 2026年1月5日\n收件人: Sam\n主题: 会议",
    "差出人: Ann <ann@example.com>\n送信日時: 2026年1月5日\n宛先: Sam\n件名: 会議",
]
DASHED = [
    "-----Original Message-----",
    "-----Ursprüngliche Nachricht-----",
    "-----Message d'origine-----",
    "-----Mensaje original-----",
    "-----Messaggio originale-----",
    "-----Mensagem original-----",
    "-----Oorspronkelijk bericht-----",
    "------------------ 原始邮件 ------------------",
    "-----元のメッセージ-----",
]
FORWARDED = [
    "---------- Forwarded message ---------",
    "Begin forwarded message:",
    "---------- Weitergeleitete Nachricht ---------",
    "Anfang der weitergeleiteten Nachricht:",
    "-------- Message transféré --------",
    "---------- Mensaje reenviado ---------",
    "---------- Messaggio inoltrato ---------",
    "---------- 转发的邮件 ---------",
]


@pytest.mark.parametrize("wrote", WROTE)
@pytest.mark.parametrize("mark", ["> ", "", ">"])
def test_a_reply_is_divided_where_it_says_who_wrote(wrote: str, mark: str) -> None:
    """Gmail, Apple Mail and Thunderbird write such a line, in the reader's language, wrapped or not."""
    quoted = "\n".join(f"{mark}{line}" for line in QUOTED.split("\n"))
    parts = split_quotes(f"{OWN}\n\n{wrote}\n\n{quoted}\n")
    assert (parts.own, parts.is_forward) == (OWN, False)
    assert parts.quoted > len(QUOTED)


@pytest.mark.parametrize("headers", HEADERS)
@pytest.mark.parametrize("line", ["", "________________________________\n", "\n"])
def test_a_reply_is_divided_at_the_headers_of_the_quoted_mail(headers: str, line: str) -> None:
    """Outlook writes these, sometimes below a line."""
    parts = split_quotes(f"{OWN}\n{line}{headers}\n\n{QUOTED}")
    assert (parts.own, parts.is_forward) == (OWN, False)


def test_headers_without_an_address_need_a_subject_and_a_time() -> None:
    """Outlook writes only the names of colleagues."""
    headers = "From: Ann Example\nSent: Monday, January 5, 2026 10:00 AM\nTo: Sam\nSubject: Meeting"
    assert split_quotes(f"{OWN}\n\n{headers}\n\n{QUOTED}").own == OWN


@pytest.mark.parametrize("dashed", DASHED)
def test_a_reply_is_divided_at_a_dashed_line(dashed: str) -> None:
    """Older programs write it."""
    assert split_quotes(f"{OWN}\n\n{dashed}\n{QUOTED}").own == OWN


@pytest.mark.parametrize("forwarded", FORWARDED)
def test_a_forwarded_mail_is_told_from_a_quotation(forwarded: str) -> None:
    """It may be what the mail is about."""
    parts = split_quotes(f"FYI\n\n{forwarded}\n{HEADERS[0]}\n\n{QUOTED}")
    assert (parts.own, parts.is_forward) == ("FYI", True)
    assert split_quotes(f"{forwarded}\n{HEADERS[0]}\n\n{QUOTED}").own == ""


def test_answers_between_the_lines_keep_what_they_answer() -> None:
    """An answer such as "Yes." says nothing without its question, so the last lines of each quotation stay."""
    asked = "> Long\n> before\n> the\n> question.\n> Are you in?"
    text = f"{WROTE[0]}\n\n{asked}\nYes.\n\n> And Tom?\n>\nNo.\n\n> Bye\n> Ann\n"
    parts = split_quotes(text)
    assert parts.own == "> the\n> question.\n> Are you in?\nYes.\n\n> And Tom?\nNo."
    assert parts.quoted > 0


def test_an_answer_below_the_quotation_stays() -> None:
    """Some people write at the bottom."""
    assert split_quotes(f"{WROTE[0]}\n> a\n> b\n> c\n> d\n\nMy answer.").own == "> b\n> c\n> d\nMy answer."


@pytest.mark.parametrize(
    "text",
    [
        "On Monday we said we have 5 of these:\nnails\nhammers",
        "From: the team\nWe wish you well.",
        "De: 5 a 10\nTodo bien.",
        "On his page he wrote:\nno, not he.",
        "Am Montag um 10:\nTreffen",
        "a -> b\n-- two dashes --\nc > d",
        "Subject: x\nTo: y",
        "your trip:\n\nFrom: Berlin\nTo: Munich\nDate: 3 May 2026\n\nYour booking number is X7K2.",
        "Von: Max\nBetreff: Angebot\nDatum: 3.5.2026\nNachricht: Bitte rufen Sie an.",
        "|Name| Bob\n|Phone| 123",
        "On 3 May the auditor wrote:\nThe figures are wrong.\n\nI disagree",
        "2026年5月3日 请联系 sales@x.cn：\n报价如下",
        "",
    ],
)
def test_ordinary_sentences_are_no_quotations(text: str) -> None:
    """Text that only looks like a beginning stays."""
    assert split_quotes(text) == (text, 0, False)


@given(st.lists(st.sampled_from([*WROTE, *HEADERS, *DASHED, *FORWARDED, "> q", ">> q", "own", "", "--", "a:"])))
def test_own_words_are_lost_only_below_what_goes_on_to_the_end(lines: list[str]) -> None:
    """Whatever is mixed, the first own words before any mark stay, and nothing is invented."""
    parts = split_quotes("\n".join(lines))
    assert set(parts.own.split("\n")) <= {*"\n".join(lines).split("\n"), ""}
    if lines and lines[0] == "own":
        assert parts.own.startswith("own")
