"""Codes are found in written mails of many languages, and other numbers are not taken for codes."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkbox_mcp.mail.body import read_body
from inkbox_mcp.mail.codes import MAX_CODES, find_codes
from tests.support.mails import WrittenMail, written_mails

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "mail.md"
FOLDERS = {"corpus": "written while the scorer was", "held_out": "written afterwards, never tuned for"}


def found(mail: WrittenMail) -> frozenset[str]:
    """Return the likeliest codes of a mail, as many as it has, and at least one if any is found."""
    return frozenset(code.value for code in mail.read().codes[: max(len(mail.codes), 1)])


def row(folder: str) -> str:
    """Return a row of the table in the document: what is computed now."""
    mails = written_mails(folder)
    right = sum(len(found(mail) & mail.codes) for mail in mails)
    wrong = sum(len(found(mail) - mail.codes) for mail in mails)
    missed = sum(len(mail.codes - found(mail)) for mail in mails)
    precision, recall = right / (right + wrong), right / (right + missed)
    codes = right + missed
    return f"| {FOLDERS[folder]} | {len(mails)} | {codes} | {right} | {wrong} | {precision:.3f} | {recall:.3f} |"


@pytest.mark.parametrize("folder", FOLDERS)
def test_precision_and_recall_are_those_of_the_document(folder: str) -> None:
    """Run with `pytest -s` to see the row."""
    computed = row(folder)
    print(f"\n{computed}")  # noqa: T201
    for mail in written_mails(folder):
        if found(mail) != mail.codes:
            print(f"{mail.name}: {sorted(mail.codes)}, found {mail.read().codes}")  # noqa: T201
    assert computed in DOCUMENT.read_text(encoding="utf-8")


def test_the_mails_are_many_and_in_many_languages() -> None:
    """A scorer for one language would do well on mails in that language."""
    names = [mail.name for mail in written_mails("corpus")]
    assert len(names) >= 40
    assert {name.split("-")[0] for name in names} >= {"en", "de", "fr", "es", "zh", "ja", "it", "pt", "ru"}
    assert len(written_mails("held_out")) >= 10
    assert not {*names} & {mail.name for mail in written_mails("held_out")}


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("Your code is 123-456.", "123456"),
        ("Your code is 123 4567.", "1234567"),
        ("Your code: 1 2 3 4 5 6", "123456"),
        ("Your code: ١٢٣٤٥٦", "123456"),
        ("Your code: １２３４５６", "123456"),
        ("**Code: 482913**", "482913"),
        ("验证码是482901，5分钟内有效", "482901"),
        ("验证码是348271,5分钟内有效", "348271"),
        ("Your code is 482915,valid for 10 minutes", "482915"),
        ("code:482915.Do not share", "482915"),
        ("Verification code=482915", "482915"),
        ("Your code is #482915", "482915"),
        ("Ihre mobileTAN lautet 482913.", "482913"),
        ("Ditt engångslösenord är 881204. Gäller i 5 minuter", "881204"),
        ("رمز التحقق الخاص بك هو ٤٨٢٩١٣", "482913"),
        ("code AB3D5F", "AB3D5F"),
        ("code ABC-DEF", "ABC-DEF"),
        ("G-123456 is your code", "G-123456"),
        ("PIN: 2024", "2024"),
        ("2024 is your OTP", "2024"),
        ("verification code 2024", "2024"),
        ("your code is k7f2", "k7f2"),
        ("code: ab12cd", "ab12cd"),
        ("login code - K7F2", "K7F2"),
        ("Your login code\nx7Kp2m", "x7Kp2m"),
        ("Code: k7f2-9qx1", "k7f2-9qx1"),
        ("Your code: 482-915-233", "482915233"),
        ("Use 4821 to finish signing in", "4821"),
        ("Use 4821 in the app to log in", "4821"),
        ("Verwenden Sie 482913, um sich anzumelden", "482913"),
        ("Please enter the code 553201 at checkout", "553201"),
        ("आपका ओटीपी 482913 है", "482913"),
        ("सत्यापन कोड: ४८२९१३", "482913"),
        ("인증번호는 482913입니다", "482913"),
        ("รหัสOTPคือ482913", "482913"),
        ("Váš ověřovací kód: 482913", "482913"),
        ("Mã xác minh của bạn là 482913", "482913"),
        ("Vahvistuskoodisi on 482913", "482913"),
        ("Ο κωδικός σας: 4829", "4829"),
        ("קוד האימות שלך הוא 482913", "482913"),
        ("کد ورود: 48291", "48291"),
    ],
)
def test_every_form_of_a_code_is_given_as_it_is_entered(line: str, value: str) -> None:
    """Groups are joined, and digits of all scripts are ASCII."""
    assert find_codes(line)[0].value == value


@pytest.mark.parametrize(
    "line",
    [
        "Your code costs $1234",
        "Your code costs 1234 €",
        "Your code is 1234% better",
        "The code opens at 12:3045",
        "Code: https://e.com/123456",
        "Code: 123456@e.com",
        "Code: x1234567890y",
        "Code: 1.234567",
        "Code: 1234567890",
        "card ****1234",
        "order 123456",
        "Sort code 20-45-11",
        "Use promo code 482913 at checkout",
        "Enter code SPRING24 at checkout",
        "Enter code spring24 at checkout",
        "Enter code 553201 at checkout to get 20% off",
        "Your referral code is k7f2q",
        "error code: e4021",
        "product code: ab12cd",
        "Your code is valid for: 10min",
        "Code Conference 2024",
        "In 2024 we will verify every code",
        "Use 1500 credits to sign in",
        "Phone: 482-915-233",
        "The part ab12cd has a code",
        "कूपन कोड: 482913",
        "पिन कोड 110001",
        "주문번호는 482913입니다",
        "Mã đơn hàng: 482913",
        "Kod rabatowy: LATO24",
        "รหัสไปรษณีย์ 10110",
    ],
)
def test_other_numbers_are_no_codes(line: str) -> None:
    """Prices, percentages, times, parts of words and URLs, and numbers of orders are left out."""
    assert find_codes(line) == ()


@pytest.mark.parametrize(
    "line",
    [
        "Your Apple Account code is: 482915. Don't share it with anyone. @apple.com #482915 %apple.com",
        "Your code is 482915. We reply to 95% of tickets in 24 h.",
        "Verification code 482915 — Save 20% on your next order!",
    ],
)
def test_a_code_is_found_beside_an_offer(line: str) -> None:
    """Only what its own sentence says of a promotion speaks against it."""
    assert [code.value for code in find_codes(line)] == ["482915"]


def test_a_code_in_the_subject_alone_is_found() -> None:
    """Some services put it nowhere else."""
    (code,) = find_codes("Enter it within ten minutes.", "481516 is your code")
    assert (code.value, code.line) == ("481516", "Subject: 481516 is your code")


def test_candidates_come_with_what_the_reader_needs_to_choose() -> None:
    """More than one is given, each with its line, the likeliest first."""
    text = "Your verification code is 481516.\nYour other verification code is 234210."
    codes = find_codes(text)
    assert [code.line for code in codes] == text.split("\n")
    assert len(find_codes("\n".join(f"code {number}" for number in range(100000, 100100)))) == MAX_CODES


def test_a_code_is_found_where_it_is_quoted_or_far_below() -> None:
    """Codes are looked for before quotations are taken out and before the text is cut."""
    text = "See below.\n" + "word\n" * 5000 + "\nOn Mon, Jan 5, 2026 Ann wrote:\n> Your code is 481516."
    assert [code.value for code in find_codes(text)] == ["481516"]


def test_hidden_codes_are_not_found() -> None:
    """A code that a person does not see can be a trap."""
    html = '<div style="display:none">Your code is 999999</div><p>Your code is 4<b>8</b>1<b>516</b></p>'
    assert [code.value for code in read_body(None, html).codes] == ["481516"]


@given(st.text(), st.text())
def test_codes_are_short_and_sure_of_themselves_within_bounds(text: str, subject: str) -> None:
    """Any text has at most five, each with a score of 1 to 100."""
    codes = find_codes(text, subject)
    assert len(codes) <= MAX_CODES
    for code in codes:
        assert re.fullmatch("[0-9A-Za-z-]{4,11}", code.value)
        assert 0 < code.score <= 100
        assert len(code.line) <= 210
