"""Talking to the stack's own API from the command line."""

import json
from collections.abc import Iterator, Mapping
from typing import cast

import httpx

from stack.errors import StackError
from stack.layout.credentials import read_credentials
from stack.layout.home import Home
from stack.supervision.state import read_state

Json = dict[str, object]


def call_api(
    home: Home,
    method: str,
    path: str,
    *,
    body: Mapping[str, object] | None = None,
    query: Mapping[str, str | int] | None = None,
    org: str | None = None,
    if_match: str | None = None,
) -> Json:
    """Call the API of a running stack with its own key.

    Args:
        home: The stack's home.
        method: `GET`, `POST`, `PUT` or `DELETE`.
        path: Path with a leading slash.
        body: What to send as JSON.
        query: What to ask for in the URL.
        org: The org to act for; the stack's own unless given.
        if_match: ETag of the version that a change expects to find.

    Returns:
        The JSON object of the answer; empty if it has none.

    Raises:
        StackError: The stack does not run, the API does not answer or it answers with an error.
    """
    with _client(home) as client:
        try:
            given = {"x-org-id": org, "if-match": if_match}
            headers = {name: value for name, value in given.items() if value}
            answer = client.request(method, path, json=body, params=query, headers=headers)
        except httpx.HTTPError as problem:
            raise _unreachable(client, problem) from None
    _require_success(answer)
    return cast("Json", answer.json()) if answer.content else {}


def stream_events(home: Home, path: str) -> Iterator[tuple[str, Json]]:
    """Read server-sent events of a running stack until the stream's `end`.

    Args:
        home: The stack's home.
        path: Path with a leading slash.

    Yields:
        The event's name and its data.

    Raises:
        StackError: As `call_api`.
    """
    name = ""
    with _client(home) as client:
        try:
            with client.stream("GET", path, timeout=None) as answer:
                if not answer.is_success:
                    answer.read()
                    _require_success(answer)
                for line in answer.iter_lines():
                    field, _, value = line.partition(": ")
                    if field == "event":
                        name = value
                    elif field == "data":
                        yield name, cast("Json", json.loads(value))
                    if name == "end":
                        return
        except httpx.HTTPError as problem:
            raise _unreachable(client, problem) from None


def _client(home: Home) -> httpx.Client:
    credentials = read_credentials(home)
    state = read_state(home)
    url = state.urls.api
    if credentials is None or url is None:
        command = "everline up" if state.supervisor_pid is None else "everline start api"
        raise StackError(f"no API runs in {home.root}; start it with `{command}`")
    headers = {"x-api-key": credentials.api_key}
    return httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=30)


def _unreachable(client: httpx.Client, problem: httpx.HTTPError) -> StackError:
    return StackError(
        f"{client.base_url} does not answer ({type(problem).__name__}); see `everline status`"
    )


def _require_success(answer: httpx.Response) -> None:
    if not answer.is_success:
        path = answer.request.url.path
        raise StackError(
            f"{answer.request.method} {path}: {answer.status_code} {answer.text[:500]}"
        )
