"""Keys of a stack: made once, closed to others, never replaced silently."""

import base64
import hashlib
import stat
from pathlib import Path

import pytest

from stack.errors import StackError
from stack.layout.credentials import generate_credentials, load_credentials, read_credentials
from stack.layout.home import Home


def test_credentials_are_generated_once_and_kept(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert read_credentials(home) is None
    first = load_credentials(home)
    assert load_credentials(home) == first == read_credentials(home)


def test_the_file_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    home = Home(tmp_path)
    load_credentials(home)
    assert stat.S_IMODE(home.credentials.stat().st_mode) == 0o600
    home.credentials.chmod(0o644)
    load_credentials(home)
    assert stat.S_IMODE(home.credentials.stat().st_mode) == 0o600


def test_two_stacks_share_no_secret() -> None:
    first, second = generate_credentials(), generate_credentials()
    assert not set(first.model_dump().values()) & set(second.model_dump().values())


def test_keys_have_the_lengths_that_the_processes_require() -> None:
    credentials = generate_credentials()
    key_id, _, key = credentials.encryption_keys.partition(":")
    assert key_id == credentials.encryption_key_id
    assert len(base64.b64decode(key, validate=True)) == 32
    assert len(credentials.livekit_api_secret) >= 32
    assert len(credentials.callback_secret) >= 32
    assert credentials.api_key_hash == hashlib.sha256(credentials.api_key.encode()).hexdigest()


@pytest.mark.parametrize("content", ["", "{}", '{"api_key": 1}', "not json"])
def test_a_damaged_file_is_an_error_and_stays(tmp_path: Path, content: str) -> None:
    home = Home(tmp_path)
    home.credentials.write_text(content)
    with pytest.raises(StackError, match=r"credentials.json is damaged"):
        load_credentials(home)
    assert home.credentials.read_text() == content
