"""The page at `/docs` needs nothing from other servers."""

import re
from urllib.parse import urljoin

from tests.api.door import Door, is_problem

PAGE = "http://api.test/docs"


async def test_the_page_and_all_its_files_come_from_the_api(keyless: Door) -> None:
    answer = await keyless.http.get(PAGE)
    assert answer.status_code == 200
    named = re.findall(r"""(?:src|href|url)\s*[=:]\s*["']([^"']+)["']""", answer.text)
    kinds: dict[str, str] = {}
    for name in named:
        address = urljoin(PAGE, name)
        assert address.startswith("http://api.test/"), "of this server"
        assert not name.startswith("/"), "also behind a proxy that adds a path"
        file = await keyless.http.get(address)
        assert file.status_code == 200, name
        kinds[name.rpartition(".")[2]] = file.headers["content-type"].partition(";")[0]

    assert kinds == {
        "js": "text/javascript",
        "css": "text/css",
        "png": "image/png",
        "json": "application/json",
    }
    assert not re.findall(r"https?://", answer.text)


async def test_there_is_no_page_that_needs_a_network(keyless: Door) -> None:
    assert is_problem(await keyless.http.get("/redoc"), 404, "not_found")
    assert is_problem(await keyless.http.get("/docs/files/nothing.js"), 404, "not_found")
