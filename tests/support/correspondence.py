"""A mailbox of twenty mails, as shops and people write them, for jobs that an agent does with its mail.

Each mail has its text and the same as HTML. The HTML of a service is laid out with tables and inline styles, 7 to 9 kB,
as templates for such mail are: those that Mailgun publishes have 7 to 12 kB, Postmark's 15 to 29 kB, before anything is
filled in. The HTML of people is what their program makes of the text, with the quotation below an answer.
"""

import html
import re
from dataclasses import dataclass
from email.message import EmailMessage
from functools import cached_property

ADDRESS = "desk@inkboxmail.com"
COLLEAGUE = "maria.lopez@acme.example"
CUSTOMER = "tom.baker@mail.example"
CODE = "739204"
SHOP = "no-reply@signup.paperly.example"

_FONT = (
    "font-family:'Helvetica Neue',Helvetica,Arial,sans-serif;box-sizing:border-box;font-size:14px;line-height:1.6;"
    "vertical-align:top;margin:0"
)
_HEAD = """<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml"><head><meta name="viewport" content="width=device-width" />
<meta http-equiv="Content-Type" content="text/html; charset=UTF-8" /><title>{title}</title><style type="text/css">
img {{ max-width: 100%; }} a:hover {{ text-decoration: underline !important; }}
body {{ -webkit-font-smoothing: antialiased; -webkit-text-size-adjust: none; width: 100% !important; height: 100%; }}
@media only screen and (max-width: 640px) {{ body {{ padding: 0 !important; }} h1 {{ font-size: 22px !important; }}
  h2 {{ font-size: 18px !important; }} .container {{ padding: 0 !important; width: 100% !important; }}
  .content {{ padding: 0 !important; }} .content-wrap {{ padding: 10px !important; }} }}
@media (prefers-color-scheme: dark) {{ body, .body-wrap {{ background-color: #222 !important; }}
  .main {{ background-color: #333 !important; color: #eee !important; }} }}
</style></head>
"""
_BODY = """<body style="{font};background-color:#f6f6f6;width:100%;height:100%">
<table class="body-wrap" style="{font};width:100%;background-color:#f6f6f6"><tr style="{font}">
<td style="{font};display:block;max-width:600px;margin:0 auto;clear:both" width="600" valign="top"><div style="{font};max-width:600px;display:block;margin:0 auto;padding:20px">
<table class="main" width="100%" cellpadding="0" cellspacing="0" style="{font};border-radius:3px;background-color:#fff;border:1px solid #e9e9e9">
<tr style="{font}"><td style="{font};font-size:16px;color:#fff;font-weight:500;text-align:center;background-color:#348eda;padding:20px" align="center">{title}</td></tr>
<tr style="{font}"><td class="content-wrap" style="{font};padding:20px"><table width="100%" cellpadding="0" cellspacing="0" style="{font}">
{rows}</table></td></tr></table>
<div class="footer" style="{font};width:100%;clear:both;color:#999;padding:20px"><table width="100%" style="{font}"><tr style="{font}">
<td style="{font};font-size:12px;color:#999;text-align:center;padding:0 0 20px" align="center">{footer}</td></tr></table></div></div></td></tr></table></body></html>
"""  # noqa: E501 - the lines are as such programs write them
_ROW = '<tr style="{font}"><td class="content-block" style="{font};padding:0 0 20px" valign="top">{line}</td></tr>\n'


@dataclass(frozen=True)
class Letter:
    """A mail.

    Attributes:
        sender: with the name.
        subject: of it.
        text: what was written.
        name: makes its Message-ID.
        quoted: the mail below an answer, with the line before it.
        answers: the names of the mails before it in the conversation.
        file: the name and the text of a PDF that is attached.
        unread: whether nobody has read it.
    """

    sender: str
    subject: str
    text: str
    name: str
    quoted: tuple[str, str] = ("", "")
    answers: tuple[str, ...] = ()
    file: tuple[str, str] | None = None
    unread: bool = False

    @property
    def message_id(self) -> str:
        """The Message-ID, as long as those of mail programs."""
        return message_id(self.name)

    @property
    def whole_text(self) -> str:
        """The text with the quotation."""
        line, text = self.quoted
        return f"{self.text}\n\n{line}\n" + "\n".join(f"> {each}" for each in text.split("\n")) if text else self.text

    @cached_property
    def own_html(self) -> str:
        """The HTML without the quotation."""
        lines = [html.escape(line) for line in self.text.split("\n")]
        if "<no-reply@" not in self.sender:
            return '<div dir="ltr">' + "".join(f"<div>{line or '<br>'}</div>" for line in lines) + "</div>"
        *rows, footer = filter(None, lines)
        shown = "".join(_ROW.format(font=_FONT, line=_linked(line)) for line in rows)
        title = html.escape(self.subject)
        return _HEAD.format(title=title) + _BODY.format(font=_FONT, title=title, rows=shown, footer=_linked(footer))

    @property
    def whole_html(self) -> str:
        """The HTML with the quotation."""
        line, text = self.quoted
        if not text:
            return self.own_html
        quoted = "".join(f"<div>{html.escape(each) or '<br>'}</div>" for each in text.split("\n"))
        return (
            f'{self.own_html}<br><div class="gmail_quote gmail_quote_container"><div dir="ltr" class="gmail_attr">'
            f'{html.escape(line)}<br></div><blockquote class="gmail_quote" style="margin:0px 0px 0px 0.8ex;border-left:'
            f'1px solid rgb(204,204,204);padding-left:1ex">{quoted}</blockquote></div>'
        )

    def written(self, with_html: bool = True) -> EmailMessage:
        """Return it as its sender's program sends it; without HTML if that is not wanted."""
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = self.sender, ADDRESS, self.subject
        mail["Message-ID"] = self.message_id
        if self.answers:
            mail["In-Reply-To"] = message_id(self.answers[-1])
            mail["References"] = " ".join(map(message_id, self.answers))
        mail.set_content(self.whole_text)
        if with_html:
            mail.add_alternative(self.whole_html, subtype="html")
        if self.file:
            name, text = self.file
            mail.add_attachment(pdf(text), "application", "pdf", filename=name)
        return mail


def message_id(name: str) -> str:
    """Return a Message-ID as long as those of mail programs."""
    return f"<CAKx7f{name.ljust(36, '0')}@mail.example>"


def _linked(line: str) -> str:
    """Make the address at the end of a line a link."""
    before, found, path = line.partition("https://")
    link = f"https://{path}"
    style = f"{_FONT};color:#348eda;text-decoration:underline"
    return f'{before}<a href="{link}" target="_blank" style="{style}">{link}</a>' if found else line


def pdf(text: str) -> bytes:
    """Return a PDF of one page with these lines."""
    lines = re.sub(r"([\\()])", r"\\\1", text).split("\n")
    shown = "".join(f"({line}) Tj T*\n" for line in lines)
    stream = f"BT /F1 11 Tf 72 770 Td 14 TL\n{shown}ET".encode()
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%b\nendstream" % (len(stream), stream),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    made, places = b"%PDF-1.4\n", list[int]()
    for number, each in enumerate(objects, 1):
        places.append(len(made))
        made += b"%d 0 obj%b endobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"trailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % len(made)
    return made + b"xref\n0 6\n0000000000 65535 f \n" + table + end


def _invoice(month: str, number: int, amount: str, name: str) -> Letter:
    text = (
        f"Hello Acme team,\nThank you for hosting with Northcloud. Your invoice for {month} 2026 is attached.\n\n"
        f"Invoice number: NC-2026-{number}\nPeriod: {month} 2026\nPlan: Business, 4 servers\nAmount due: {amount}\n"
        f"Payment: by card ending in 4411, within 14 days\n\nSee it online: https://billing.northcloud.example/i/{name}\n"
        "Questions? Answer this mail or write to our billing team at any time.\n"
        "Northcloud Ltd, 1 Harbour Street, Dublin. Unsubscribe: https://billing.northcloud.example/unsubscribe"
    )
    file = f"Northcloud Ltd\nInvoice NC-2026-{number}\nPeriod: {month} 2026\nBusiness plan, 4 servers\nTotal: {amount}"
    subject = f"Your Northcloud invoice for {month} 2026"
    sender = "Northcloud Billing <no-reply@billing.northcloud.example>"
    return Letter(sender, subject, text, name, file=(f"invoice-2026-{number}.pdf", file))


def _parcel(order: int, day: str, name: str, unread: bool = False) -> Letter:
    text = (
        f"Good news: order {order} is on its way.\nIt holds 40 printed labels and 2 rolls of tape.\n\n"
        f"Carrier: Swiftpost\nExpected: {day}\nTrack it: https://track.swiftpost.example/p/{order}\n"
        "Nobody at home? Choose another day or a shop near you on the page of the parcel.\n"
        "Swiftpost, 12 Mill Lane, Leeds. Change what you are told: https://track.swiftpost.example/settings"
    )
    return Letter(
        "Swiftpost <no-reply@track.swiftpost.example>", f"Order {order} arrives {day}", text, name, unread=unread
    )


def _news(issue: int, name: str, unread: bool = False) -> Letter:
    text = (
        f"The Label Letter, issue {issue}\nFive ways to make returns easier for your customers, and what three shops "
        "learned from a year without plastic.\n\nRead on: https://label-letter.example/issues/"
        f"{issue}\nNew this month: a guide to customs forms, with samples for nine countries.\n"
        "Reader question: how do you store labels in a humid room? Tell us by answering this mail.\n"
        "You get this because you subscribed. Unsubscribe: https://label-letter.example/unsubscribe"
    )
    sender = "The Label Letter <no-reply@label-letter.example>"
    return Letter(sender, f"Issue {issue}: returns made easy", text, name, unread=unread)


def _question(sender: str, subject: str, text: str, name: str, unread: bool = False) -> Letter:
    return Letter(sender, subject, f"Hello,\n\n{text}\n\nBest regards\n{sender.partition(' ')[0]}", name, unread=unread)


_RUTH = "Ruth Okafor <ruth.okafor@studio.example>"
_DAMAGED = (
    "Hello,\n\nour order 5512 came today, and one of the three boxes was wet. About 200 of the labels can't be used.\n"
    "Could you send new ones before the 12th? We have a fair then.\n\nRuth"
)
_PICTURES = (
    "Hello again,\n\nyou asked for the batch number: it's B-7741, on the inside of the lid. The other two boxes are "
    "fine.\n\nRuth"
)
_ADDRESS = (
    "One more thing: please send them to the fair, not to our studio.\nHall 4, stand 27, Leeds Exhibition Park, LS1 "
    "4QR.\nIs the 11th still possible?\n\nRuth"
)

LETTERS = (
    _invoice("April", 1041, "EUR 182.40", "apr41"),
    _question(
        "Ines Duarte <ines@bakery.example>",
        "Label sizes",
        "do you print labels of 30 x 50 mm, too? We would need about 2,000 a month.",
        "ines1",
    ),
    _news(27, "news27"),
    _parcel(5498, "Monday", "parcel5498"),
    _invoice("May", 1077, "EUR 196.10", "may77"),
    Letter(_RUTH, "Wet box in order 5512", _DAMAGED, "ruth1"),
    _question(
        "Paul Stein <paul.stein@print.example>",
        "Price list",
        "could you send me the price list for resellers? We talked at the fair in Cologne.",
        "paul1",
    ),
    Letter(
        _RUTH,
        "Re: Wet box in order 5512",
        _PICTURES,
        "ruth2",
        ("On Tue, Jun 2, 2026 at 9:14 AM Ruth Okafor <ruth.okafor@studio.example> wrote:", _DAMAGED),
        ("ruth1",),
    ),
    _parcel(5507, "Wednesday", "parcel5507"),
    _news(28, "news28"),
    _invoice("June", 1102, "EUR 191.75", "jun02"),
    _question(
        "Aiko Mori <aiko@teahouse.example>",
        "Order by phone?",
        "can we order by phone as well? My father does not use a computer.",
        "aiko1",
    ),
    _parcel(5512, "Thursday", "parcel5512", unread=True),
    _question(
        "Lena Fischer <lena.fischer@toys.example>",
        "Barcode does not scan",
        "the barcode on the labels of order 5490 does not scan at two of our four tills. The other labels do.",
        "lena1",
        unread=True,
    ),
    Letter(
        _RUTH,
        "Re: Wet box in order 5512",
        _ADDRESS,
        "ruth3",
        ("On Wed, Jun 3, 2026 at 4:40 PM Ruth Okafor <ruth.okafor@studio.example> wrote:", _PICTURES),
        ("ruth1", "ruth2"),
        unread=True,
    ),
    _news(29, "news29", unread=True),
    _question(
        "Omar Haddad <omar@spices.example>",
        "Invoice address",
        "please write our new address on the next invoice: Haddad Spices, 9 Quay Road, Bristol BS1 6UA.",
        "omar1",
        unread=True,
    ),
    _parcel(5519, "Friday", "parcel5519", unread=True),
    _question(
        f"Tom Baker <{CUSTOMER}>",
        "Opening hours on Saturday",
        "are you open on Saturday? I would like to collect order 5523 between 10 and 12, and bring back the empty "
        "rolls of the last one.",
        "tom1",
        unread=True,
    ),
    Letter(
        f"Paperly <{SHOP}>",
        "Confirm your Paperly account",
        "Welcome to Paperly!\nPlease confirm that this address is yours, so that you can order with your account.\n\n"
        f"Your verification code: {CODE}\nIt is valid for 15 minutes. Do not share it with anybody.\n"
        "Or open this page: https://signup.paperly.example/confirm?token=c81e728d9d4c2f636f067f89cc14862c\n"
        "You did not sign up? Then ignore this mail, and nothing will happen.\n"
        "Paperly GmbH, Hafenstrasse 8, Hamburg. Help: https://signup.paperly.example/help",
        "code1",
        unread=True,
    ),
)
"""The mails, oldest first. Eight of them are unread."""
