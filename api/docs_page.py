"""The page at `/docs`: Swagger UI from an installed package, so that it works without a network."""

import base64
import hashlib
import re

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

PATH = "/docs"
_FILES = f"{PATH}/files"
_PACKAGE = ("fastapi_swagger", "resources")


def install(app: FastAPI) -> None:
    """Add the page and its files, which it names relative to itself, as a proxy may add a path."""
    files = _FILES.removeprefix("/")
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title=app.title,
        swagger_js_url=f"{files}/swagger-ui-bundle.js",
        swagger_css_url=f"{files}/swagger-ui.css",
        swagger_favicon_url=f"{files}/favicon-32x32.png",
    )

    page.headers["Content-Security-Policy"] = _policy(bytes(page.body).decode())

    async def show() -> HTMLResponse:
        return page

    app.get(PATH, include_in_schema=False)(show)
    app.mount(_FILES, StaticFiles(packages=[_PACKAGE]), name="files of the docs page")


def _policy(page: str) -> str:
    """The content security policy: files of this server, and the scripts within the page itself."""
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts]
    allowed = " ".join(["'self'", *(f"'sha256-{one}'" for one in hashes)])
    return (
        f"default-src 'self'; script-src {allowed}; style-src 'self' 'unsafe-inline';"
        " img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
