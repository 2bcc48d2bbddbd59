"""`make test-fast`: only the tests without processes and servers, found by reading their code.

A test is left out if its code, or that of a fixture it uses, reaches a call that starts a process
or listens on a port: the code is followed through our own modules, classes and fixtures. Following
can miss a call, so a test that was kept and does either all the same fails.
"""

import asyncio
import http.server
import inspect
import multiprocessing.process
import os
import socket
import subprocess
import sys
from collections.abc import Generator, Iterable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest
import uvicorn
from aiohttp import web
from playwright.async_api import async_playwright

from stack.layout.sockets import is_free

FAST = "--fast"
OURS = {
    *("domain", "services", "workflows", "activities", "adapters", "api"),
    *("worker", "agent", "cli", "stack", "deploy", "bench", "tests"),
}
STARTING: dict[ModuleType, frozenset[str]] = {
    subprocess: frozenset({"Popen", "run", "call", "check_call", "check_output"}),
    asyncio: frozenset({"create_subprocess_exec", "create_subprocess_shell", "start_server"}),
    os: frozenset({"fork", "posix_spawn", "posix_spawnp", "system", "popen"}),
    socket: frozenset({"create_server"}),
    http.server: frozenset({"HTTPServer", "ThreadingHTTPServer"}),
    web: frozenset({"TCPSite"}),
    uvicorn: frozenset({"Server"}),
}
"""What starts a process or listens, by module. What libraries do inside, only the guard sees."""
_STARTERS: list[object] = [
    async_playwright,
    is_free,  # tries the port
    *(getattr(module, name) for module, names in STARTING.items() for name in names),
]
_PROCESSES = {"subprocess.Popen", "os.fork", "os.posix_spawn", "os.system"}
_running: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of `make test-fast`."""
    parser.addoption(FAST, action="store_true", help="only tests without processes and servers")


def pytest_configure(config: pytest.Config) -> None:
    """Set the guard; an audit hook cannot be taken back, and is for this option alone."""
    if config.getoption(FAST):
        sys.addaudithook(_refuse)
        multiprocessing.process.BaseProcess.start = _refuse_process  # raises no audit event


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if not _running:
        return
    if event in _PROCESSES:
        found = f"starts a process: {arguments[1] if event == 'subprocess.Popen' else event}"
    elif event == "socket.bind" and isinstance(arguments[1], tuple):  # a port, no file
        found = f"listens on a port: {arguments[1]}"
    else:
        return
    raise AssertionError(f"{_running[-1]} was taken for a fast test and {found}")


def _refuse_process(self: multiprocessing.process.BaseProcess) -> None:
    _refuse("os.fork", ())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Guard the test with its fixtures."""
    _running.append(item.nodeid)
    try:
        return (yield)
    finally:
        _running.pop()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what starts a process or listens."""
    if not config.getoption(FAST):
        return
    reader = Reader()
    slow = {item for item in items if reader.is_slow(_code_of(item))}
    config.hook.pytest_deselected(items=[item for item in items if item in slow])
    items[:] = [item for item in items if item not in slow]


def _code_of(item: pytest.Item) -> Iterator[object]:
    """The test, its parameters, and all fixtures that it uses, directly or not."""
    if not isinstance(item, pytest.Function):
        return
    yield item.obj
    if (call := getattr(item, "callspec", None)) is not None:
        yield from call.params.values()
    # Pytest has no public way from a name to its fixture.
    manager = getattr(item.session, "_fixturemanager")  # noqa: B009  # private: pyright objects
    names = list(item.fixturenames)
    for name in names:  # grows meanwhile
        for definition in manager.getfixturedefs(name, item) or ():
            yield definition.func
            used = [*definition.argnames, *_asked_by_name(inspect.unwrap(definition.func))]
            names += [name for name in used if name not in names]


def _asked_by_name(fixture: FunctionType) -> list[str]:
    code = fixture.__code__
    if "getfixturevalue" not in code.co_names:
        return []
    return [constant for constant in code.co_consts if isinstance(constant, str)]


class Reader:
    """Follows code from function to function; each object is read once."""

    def __init__(self) -> None:
        # Kept by id, together with the object, so that no other gets its id.
        self._starting: dict[int, object] = {id(starter): starter for starter in _STARTERS}
        self._harmless: dict[int, object] = {}

    def is_slow(self, begin: Iterable[object]) -> bool:
        """Tell whether any of this code reaches a call that starts a process or listens."""
        waiting: list[tuple[object, object]] = [(found, None) for found in begin]
        seen: dict[int, tuple[object, object]] = {}
        while waiting:
            found, user = waiting.pop()
            if id(found) in self._starting:
                while user is not None:  # so does all that led here
                    self._starting[id(user)] = user
                    user = seen[id(user)][1]
                return True
            if id(found) in seen or id(found) in self._harmless:
                continue
            seen[id(found)] = (found, user)
            waiting += [(used, found) for used in _used_by(found)]
        self._harmless |= {key: found for key, (found, _) in seen.items()}
        return False


def _used_by(found: Any) -> Iterator[object]:
    """What an object of ours uses, as far as it can be read."""
    if isinstance(found, list | tuple | set | frozenset | dict):
        yield from found.values() if isinstance(found, dict) else found
    elif isinstance(found, FunctionType):
        yield from _used_by_function(found)
    elif isinstance(found, type):
        if _is_ours(found.__module__):
            yield from (*vars(found).values(), *found.__bases__)
    elif _is_ours(type(found).__module__):
        yield type(found)
    else:  # a method, a property, a partial or another cover of a function
        covers = ("__func__", "__self__", "__wrapped__", "fget", "func")
        yield from (getattr(found, name) for name in covers if _has(found, name))


def _has(found: object, name: str) -> bool:
    return name in dir(type(found)) or name in getattr(found, "__dict__", {})


def _used_by_function(function: FunctionType) -> Iterator[object]:
    if (inner := inspect.unwrap(function)) is not function:
        yield inner
    if not _is_ours(function.__module__ or ""):
        return
    for cell in function.__closure__ or ():
        yield cell.cell_contents
    for name, value in _named(function.__code__, function.__globals__):
        if isinstance(value, ModuleType):
            yield from _used_of_module(value, name)
        else:
            yield value


def _named(code: CodeType, known: dict[str, Any]) -> Iterator[tuple[CodeType, Any]]:
    """Each value that the code, or code inside it, calls by name, with that code."""
    yield from ((code, known[name]) for name in code.co_names if name in known)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _named(inner, known)


def _used_of_module(module: ModuleType, code: CodeType) -> Iterator[object]:
    names = set(code.co_names)
    if not _is_ours(module.__name__):
        names &= STARTING.get(module, frozenset())
    yield from (vars(module)[name] for name in names if name in vars(module))


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] in OURS
