"""Calls the API of an installation."""

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import cast
from urllib.parse import quote

import httpx

from cli.installation import Installation
from stack.errors import StackError
from stack.waits import waiting_for

Json = dict[str, object]

_ACCEPTED = "everline_accepted_status"
_SECONDS = 60.0
"""Longer than a start waits for its agent."""


def call_api(
    installation: Installation,
    method: str,
    *path: str,
    body: Mapping[str, object] | None = None,
    query: Mapping[str, str | int | None] | None = None,
    org: str | None = None,
    if_version: int | None = None,
    accept: int | None = None,
    waits_for: Callable[[], str] | None = None,
) -> Json:
    """Call the API, and return the JSON object of the answer.

    The segments of the path are escaped; query parameters without a value are left out. Without an
    `org`, the call is for the key's own. `if_version` is the version that a change expects to
    find. An answer without a body is an empty object. An error of the status `accept` is an answer
    as well. `waits_for` says what a long answer waits for, if it is not the API itself.

    Raises:
        StackError: It is not known where the API is, or it does not answer or returns an error.
    """
    headers = {"x-org-id": org} if org else {}
    if if_version is not None:
        headers["if-match"] = f'"{if_version}"'
    params = {name: value for name, value in (query or {}).items() if value is not None}
    with _client(installation) as client, waiting_for(waits_for or _answer_of(client)):
        answer = client.request(
            method,
            _join(path),
            json=body,
            params=params,
            headers=headers,
            extensions={_ACCEPTED: accept},
        )
    return _read_object(answer) if answer.content else {}


def stream_events(installation: Installation, *path: str) -> Iterator[tuple[str, Json]]:
    """Yield the name and data of server-sent events, up to the event `end`.

    Raises:
        StackError: As `call_api`.
    """
    name = ""
    # A quiet call sends nothing for long; the API sends a comment every 15 s.
    timeout = httpx.Timeout(_SECONDS, read=None)
    with _client(installation) as client, ExitStack() as stack:
        with waiting_for(_answer_of(client)):
            stream = client.stream("GET", _join(path), timeout=timeout)
            answer = stack.enter_context(stream)
        for line in answer.iter_lines():
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                yield name, cast("Json", json.loads(value))
            if name == "end":
                return


def _answer_of(client: httpx.Client) -> str:
    return f"the answer of {client.base_url}"


def _join(path: Iterable[str]) -> str:
    return "".join(f"/{quote(segment, safe='')}" for segment in path)


@contextmanager
def _client(installation: Installation) -> Generator[httpx.Client]:
    url, key = installation.address()
    try:
        with httpx.Client(
            base_url=url, headers={"x-api-key": key}, trust_env=False, timeout=_SECONDS
        ) as client:
            client.event_hooks = {"response": [_require_success]}
            yield client
    except (httpx.HTTPError, httpx.InvalidURL) as problem:
        cure = "check --url" if installation.url else "see `everline status`"
        raise StackError(f"{url} does not answer ({type(problem).__name__}); {cure}") from None


def _require_success(answer: httpx.Response) -> None:
    if not answer.is_success and answer.status_code != answer.request.extensions.get(_ACCEPTED):
        answer.read()
        raise StackError(_explain(answer))


def _explain(answer: httpx.Response) -> str:
    """The error as plain text: what is wrong, and for each field the reason and the cure."""
    problem = _read_object(answer)
    lines = [f"{problem.get('detail') or 'the request failed'} ({answer.status_code})"]
    for fault in cast("list[dict[str, str]]", problem.get("errors") or []):
        reason, cure = fault.get("reason"), fault.get("cure")
        texts = [reason if reason != problem.get("detail") else None, cure]
        told = "; ".join(text for text in texts if text)
        lines += [f"  {': '.join(filter(None, (fault.get('field'), told)))}"] if told else []
    if answer.status_code >= 500 and "request_id" in problem:
        lines.append(f"  in the API's log: request {problem['request_id']}")
    return "\n".join(lines)


def _read_object(answer: httpx.Response) -> Json:
    """Return the JSON object of an answer.

    Raises:
        StackError: It has none, such as a proxy's page.
    """
    try:
        found: object = answer.json()
    except ValueError:
        found = None
    if isinstance(found, dict):
        return cast("Json", found)
    raise StackError(
        f"{answer.request.url} answered {answer.status_code}, but not as Everline's API does: "
        "is it the right URL, or is there a proxy in between?"
    )
