"""`temporal-setup` prepares a Temporal that is reached over TLS as well."""

import asyncio
import os
import sys
import uuid
from pathlib import Path

from temporalio.client import Client

from tests.deploy.compose import ROOT
from tests.fakes.tls_door import Authority, tls_door
from tests.servers import TemporalServer


async def set_up(folder: Path, **given: str) -> tuple[int | None, str]:
    """Run it with nothing but its settings; returns its exit code and all that it says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        ROOT / "deploy/compose/temporal_setup.py",
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **given},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()


async def test_a_temporal_behind_tls_is_prepared(
    temporal_server: TemporalServer, tmp_path: Path
) -> None:
    ours = Authority(tmp_path, "ours")
    client, namespace = ours.sign("client"), f"tls-{uuid.uuid4().hex[:12]}"
    server = ours.sign("server")
    async with tls_door(temporal_server.address, server, ours, known_clients_alone=True) as door:
        code, said = await set_up(
            tmp_path,
            TEMPORAL_ADDRESS=door,
            TEMPORAL_NAMESPACE=namespace,
            TEMPORAL_TLS="true",
            TEMPORAL_TLS_CA=str(ours.certificate),
            TEMPORAL_TLS_CERT=str(client.certificate),
            TEMPORAL_TLS_KEY=str(client.key),
        )

    assert (code, said) == (0, f"Temporal at {door} is ready: namespace {namespace}\n")
    plain = await Client.connect(temporal_server.address, namespace=namespace)
    assert (await plain.count_workflows("SessionOrg = 'nobody'")).count == 0


async def test_settings_that_cannot_work_are_told_at_once(tmp_path: Path) -> None:
    code, said = await set_up(tmp_path, TEMPORAL_API_KEY="canary")
    assert code == 1
    assert "TEMPORAL_API_KEY: needs TEMPORAL_TLS=true" in said
    assert "canary" not in said
