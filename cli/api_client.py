"""Calls the API of the local stack."""

import json
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import cast
from urllib.parse import quote

import httpx

from stack.errors import StackError
from stack.layout.credentials import read_credentials
from stack.layout.home import Home
from stack.supervision.state import read_state

Json = dict[str, object]


def call_api(
    home: Home,
    method: str,
    *path: str,
    body: Mapping[str, object] | None = None,
    query: Mapping[str, str | int | None] | None = None,
    org: str | None = None,
    if_version: int | None = None,
) -> Json:
    """Call the API with the stack's own key, and return the JSON object of the answer.

    The segments of the path are escaped; query parameters without a value are left out. Without an
    `org`, the call is for the stack's own. `if_version` is the version that a change expects to
    find. An answer without a body is an empty object.

    Raises:
        StackError: The stack is not running, or the API does not answer or returns an error.
    """
    headers = {"x-org-id": org} if org else {}
    if if_version is not None:
        headers["if-match"] = f'"{if_version}"'
    params = {name: value for name, value in (query or {}).items() if value}
    with _client(home) as client:
        answer = client.request(method, _join(path), json=body, params=params, headers=headers)
    return cast("Json", answer.json()) if answer.content else {}


def stream_events(home: Home, *path: str) -> Iterator[tuple[str, Json]]:
    """Yield the name and data of server-sent events, up to the event `end`.

    Raises:
        StackError: As `call_api`.
    """
    name = ""
    with _client(home) as client, client.stream("GET", _join(path), timeout=None) as answer:
        for line in answer.iter_lines():
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                yield name, cast("Json", json.loads(value))
            if name == "end":
                return


def _join(path: Iterable[str]) -> str:
    return "".join(f"/{quote(segment, safe='')}" for segment in path)


@contextmanager
def _client(home: Home) -> Generator[httpx.Client]:
    credentials = read_credentials(home)
    state = read_state(home)
    url = state.urls.api
    if credentials is None or url is None:
        command = "everline up" if state.supervisor_pid is None else "everline start api"
        raise StackError(f"the API of {home.root} is not running; start it with `{command}`")
    headers = {"x-api-key": credentials.api_key}
    try:
        with httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=30) as client:
            client.event_hooks = {"response": [_require_success]}
            yield client
    except httpx.HTTPError as problem:
        raise StackError(
            f"{url} does not answer ({type(problem).__name__}); see `everline status`"
        ) from None


def _require_success(answer: httpx.Response) -> None:
    if not answer.is_success:
        answer.read()
        request = f"{answer.request.method} {answer.request.url.path}"
        raise StackError(f"{request}: {answer.status_code} {answer.text[:500]}")
