"""An HTTP server whose clock differs from this machine's."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from email.utils import formatdate

from aiohttp import web


def formatted_date(at: float) -> str:
    """The `Date` header of a Unix time."""
    return formatdate(at, usegmt=True)


@asynccontextmanager
async def skewed_server(
    ahead: float, *, status: int = 200, body: str = "OK", content_type: str = "text/plain"
) -> AsyncGenerator[str]:
    """One answer to every request, `ahead` seconds ahead; yields the URL."""

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        headers = {"Date": formatted_date(time.time() + ahead)}
        return web.Response(status=status, text=body, headers=headers, content_type=content_type)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
