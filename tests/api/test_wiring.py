"""The composition root: what it opens is closed, whatever happens in between."""

import base64
from pathlib import Path

import pytest
from fastapi import FastAPI

from adapters.settings import ApiSettings
from api.main import wire
from tests.fakes.pagos import ADMIN_TOKEN, FakePagos
from tests.fakes.silent import Silent
from tests.servers import free_port
from tests.waiting import eventually

KEY = "evk_of_anna_1234567890"


def settings(mongodb: int) -> ApiSettings:
    return ApiSettings.model_validate(
        {
            "livekit_url": f"ws://127.0.0.1:{free_port()}",
            "livekit_api_key": "key",
            "livekit_api_secret": "s" * 40,
            "temporal_address": f"127.0.0.1:{free_port()}",
            "everline_encryption_keys": f"k1:{base64.b64encode(bytes(32)).decode()}",
            "everline_callback_secret": "c" * 32,
            "mongodb_uri": f"mongodb://127.0.0.1:{mongodb}",
            "auth_provider": "pagos",
        }
    )


async def test_an_error_while_it_serves_leaves_no_connection_open(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    silent = Silent()
    async with silent.server("mongodb") as mongodb, FakePagos() as pagos:
        pagos.accounts[KEY] = {"orgId": "acme", "userId": "anna"}
        monkeypatch.setenv("PAGOS_API_URL", pagos.url)
        monkeypatch.setenv("PAGOS_ADMIN_TOKEN", ADMIN_TOKEN)
        wiring = await wire(settings(mongodb))

        async def serve() -> None:
            async with wiring.lifespan(FastAPI()):
                assert await wiring.services.keys.resolve(KEY)
                await eventually(lambda: silent.asked == {"mongodb"})
                assert pagos.open_connections
                raise RuntimeError("an error in the block")

        with pytest.raises(RuntimeError, match="an error in the block"):
            await serve()
        await eventually(lambda: not silent.asked, what="MongoDB's connections are closed")
        await eventually(lambda: not pagos.open_connections, what="those to Pagos as well")
