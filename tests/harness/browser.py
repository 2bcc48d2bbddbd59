"""The machine's own Chromium: packages of Python have none that could be installed everywhere."""

import os
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from playwright.async_api import Page, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 60.0
"""Seconds that a page may take to show what is waited for."""


@asynccontextmanager
async def browser_page() -> AsyncGenerator[Page]:
    """An empty page; what its scripts complain of is no failure."""
    found = (shutil.which(name) for name in NAMES)
    executable = os.environ.get("EVERLINE_CHROMIUM") or next(filter(None, found), None)
    assert executable, "install Chromium, or name it in EVERLINE_CHROMIUM"
    # Chromium's own sandbox refuses root.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=arguments)
        page = await browser.new_page(viewport={"width": 1400, "height": 1400})
        page.set_default_timeout(PATIENCE * 1000)
        try:
            yield page
        finally:
            await browser.close()
