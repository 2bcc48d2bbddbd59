"""The callback token: genuine until it expires, and of no use after any change."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Forbidden, Unauthenticated
from domain.sessions.callback_token import PREFIX, CallbackClaims, mint, verify

SECRET = "a-secret-of-at-least-thirty-two-characters"
CLAIMS = CallbackClaims(org="acme", session_id="s-1", attempt=2, expires=1_000)

ids = st.from_regex(r"[A-Za-z0-9_-]{1,128}", fullmatch=True)
claims = st.builds(
    CallbackClaims,
    org=ids,
    session_id=ids,
    attempt=st.integers(1, 10**6),
    expires=st.integers(1, 2**40),
)


@given(claims)
def test_what_was_minted_is_what_is_read(given: CallbackClaims) -> None:
    token = mint(SECRET, given)

    assert verify(SECRET, token, given.expires - 1) == given
    assert token == mint(SECRET, given), "a retry sends the same"
    assert token.isascii()
    assert token.startswith(PREFIX)


def test_it_expires() -> None:
    token = mint(SECRET, CLAIMS)

    assert verify(SECRET, token, 999) == CLAIMS
    with pytest.raises(Forbidden):
        verify(SECRET, token, 1_000)


def test_another_secret_does_not_make_it() -> None:
    with pytest.raises(Unauthenticated):
        verify(SECRET + "x", mint(SECRET, CLAIMS), 0)


def test_a_secret_that_was_replaced_still_verifies() -> None:
    token = mint("an-older-secret", CLAIMS)
    assert verify(SECRET, token, 0, ["another", "an-older-secret"]) == CLAIMS
    for older in ((), ("another",)):
        with pytest.raises(Unauthenticated):
            verify(SECRET, token, 0, older)


@given(claims, st.data())
def test_no_change_of_a_single_character_goes_unnoticed(
    given: CallbackClaims, data: st.DataObject
) -> None:
    token = mint(SECRET, given)
    position = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda c: c != token[position]))
    altered = token[:position] + other + token[position + 1 :]

    try:
        read = verify(SECRET, altered, 0)
    except Unauthenticated:
        return
    # The last character of unpadded base64 has bits that mean nothing.
    assert read == given
    assert position == len(token) - 1


@given(claims)
def test_claims_cannot_be_exchanged_under_a_signature(given: CallbackClaims) -> None:
    body, _, signature = mint(SECRET, given).removeprefix(PREFIX).partition(".")
    padded = body + "=" * (-len(body) % 4)
    payload = json.loads(base64.urlsafe_b64decode(padded)) | {"attempt": given.attempt + 1}
    forged = base64.urlsafe_b64encode(json.dumps(payload, sort_keys=True).encode()).rstrip(b"=")

    with pytest.raises(Unauthenticated):
        verify(SECRET, f"{PREFIX}{forged.decode()}.{signature}", 0)


@pytest.mark.parametrize(
    "token",
    ["", PREFIX, f"{PREFIX}.", "evcb", "Bearer x", f"{PREFIX}a.b", f"{PREFIX}ä.b", "x" * 10_000],
)
def test_anything_else_is_no_token(token: str) -> None:
    with pytest.raises(Unauthenticated):
        verify(SECRET, token, 0)


@given(st.text())
def test_no_text_breaks_it(text: str) -> None:
    for token in (text, f"{PREFIX}{text}"):
        with pytest.raises(Unauthenticated):
            verify(SECRET, token, 0)
