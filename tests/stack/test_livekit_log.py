"""What LiveKit logs with the stack's configuration."""

import json
from pathlib import Path

from adapters.livekit.rooms import LiveKitRooms
from stack.binaries import LIVEKIT
from stack.layout.credentials import generate_credentials
from stack.layout.environment import Addresses
from stack.layout.livekit_config import livekit_config
from stack.layout.ports import PortRange, Ports
from stack.supervision.health import http_ok
from tests.servers import ServerProcess, free_port, locate_for_tests


async def test_requests_are_not_logged_one_by_one(tmp_path: Path) -> None:
    credentials = generate_credentials()
    udp = free_port(udp=True)
    ports = Ports(
        livekit=free_port(),
        livekit_tcp=free_port(),
        livekit_udp=PortRange(first=udp, last=udp + 1),
    )
    addresses = Addresses(ports)
    file, log = tmp_path / "livekit.json", tmp_path / "livekit.log"
    file.write_text(json.dumps(livekit_config(credentials, addresses)), encoding="utf-8")
    url = f"http://127.0.0.1:{ports.livekit}"
    process = ServerProcess(
        command=(locate_for_tests(LIVEKIT), "--config", file), check=http_ok(url), log=log
    )
    key, secret = credentials.livekit_api_key, credentials.livekit_api_secret
    try:
        await process.start()
        async with LiveKitRooms(url, key, secret) as rooms:
            await rooms.create("acme.call-1", "", 120, 60)
            for _ in range(10):
                await rooms.list_rooms()
            await rooms.delete("acme.call-1")
    finally:
        process.stop()

    written = log.read_text()
    assert "starting LiveKit server" in written
    assert "deleting room" in written, "what happens to rooms is logged"
    assert "RoomService." not in written
