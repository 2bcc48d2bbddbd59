"""Talking to the stack's own API from the command line."""

from collections.abc import Mapping
from typing import cast

import httpx

from stack.credentials import read_credentials
from stack.errors import StackError
from stack.home import Home
from stack.state import read_state

Json = dict[str, object]


def call_api(
    home: Home, method: str, path: str, *, body: Mapping[str, object] | None = None
) -> Json:
    """Call the API of a running stack with its own key.

    Args:
        home: The stack's home.
        method: `GET` or `POST`.
        path: Path with a leading slash.
        body: What to send as JSON.

    Returns:
        The JSON object of the answer.

    Raises:
        StackError: The stack does not run, the API does not answer or it answers with an error.
    """
    credentials = read_credentials(home)
    url = read_state(home).urls.api
    if credentials is None or url is None:
        raise StackError(f"no API runs in {home.root}; start it with `everline up`")
    headers = {"x-api-key": credentials.api_key}
    try:
        with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
            answer = client.request(method, path, headers=headers, json=body)
    except httpx.HTTPError as problem:
        raise StackError(
            f"{url} does not answer ({type(problem).__name__}); see `everline status`"
        ) from None
    if not answer.is_success:
        raise StackError(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
    return cast("Json", answer.json())
