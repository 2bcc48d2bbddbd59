"""S3 over the wire, as far as recordings need it: objects are put, got and deleted, signed."""

import asyncio
import re
from dataclasses import dataclass, field
from typing import Self

from aiohttp import web

ACCESS_KEY, SECRET_KEY = "AKIATEST", "a-secret-of-the-fake-storage"


@dataclass
class S3:
    """Listens on a loopback port of its own while it is entered.

    Attributes:
        objects: contents by `bucket/key`.
        types: content types by the same.
        refusal: status of every answer while it is set.
        asked: methods with paths, in order, also of requests that were refused.
        open: every answer waits for this.
    """

    objects: dict[str, bytes] = field(default_factory=dict[str, bytes])
    types: dict[str, str] = field(default_factory=dict[str, str])
    refusal: int | None = None
    asked: list[str] = field(default_factory=list[str])
    open: asyncio.Event = field(default_factory=asyncio.Event)
    _runner: web.AppRunner | None = None
    _port: int = 0

    @property
    def environment(self) -> dict[str, str]:
        """What makes an S3 client use this server."""
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._port}",
        }

    async def __aenter__(self) -> Self:
        self.open.set()
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        self.asked.append(f"{request.method} {path}")
        await self.open.wait()
        if self.refusal is not None:
            return web.Response(status=self.refusal, text="<Error><Code>Refused</Code></Error>")
        if not _is_signed(request):
            return web.Response(status=403, text="<Error><Code>AccessDenied</Code></Error>")
        if request.method == "PUT":
            self.objects[path] = await request.read()
            self.types[path] = request.headers.get("Content-Type", "")
            return web.Response(headers={"ETag": '"1"'})
        if request.method == "POST" and "delete" in request.query:
            return self._delete(path, await request.text())
        if path not in self.objects:
            return web.Response(status=404, text="<Error><Code>NoSuchKey</Code></Error>")
        return web.Response(body=self.objects[path], headers={"ETag": '"1"'})

    def _delete(self, bucket: str, order: str) -> web.Response:
        keys = re.findall("<Key>(.*?)</Key>", order)
        for key in keys:
            self.objects.pop(f"{bucket}/{key}", None)
        deleted = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
        return web.Response(
            text=f"<DeleteResult>{deleted}</DeleteResult>", content_type="application/xml"
        )


def _is_signed(request: web.Request) -> bool:
    """By header, or in the query of a link that was made for somebody."""
    header = request.headers.get("Authorization", "")
    by_header = header.startswith("AWS4-HMAC-SHA256 ") and ACCESS_KEY in header
    return by_header or request.query.get("X-Amz-Credential", "").startswith(ACCESS_KEY)
