"""Workers of two releases at once: each session stays on the release that it began on."""

import uuid

from temporalio.api.workflowservice.v1 import SetWorkerDeploymentCurrentVersionRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError

from adapters.settings import WorkerSettings
from adapters.temporal import client as temporal_client
from tests.servers import TemporalServer
from tests.waiting import eventually
from tests.worker.waiting_workflow import WaitingWorkflow
from tests.workflows.studio import worker_settings
from worker.workers import serving_all


async def make_current(client: Client, settings: WorkerSettings) -> None:
    """New sessions begin on this release; what `temporal worker deployment` does."""
    request = SetWorkerDeploymentCurrentVersionRequest(
        namespace=client.namespace,
        deployment_name=settings.temporal_deployment_name,
        build_id=settings.temporal_worker_build_id,
    )

    async def accepted() -> bool:
        try:
            await client.workflow_service.set_worker_deployment_current_version(request)
        except RPCError:
            return False  # its workers are not known yet
        return True

    await eventually(accepted, what="Temporal knows the workers of the release")


async def ran_on(handle: WorkflowHandle[WaitingWorkflow, None]) -> set[str]:
    """The releases whose workers have taken steps of a workflow."""
    return {
        event.workflow_task_completed_event_attributes.deployment_version.build_id
        async for event in handle.fetch_history_events()
        if event.HasField("workflow_task_completed_event_attributes")
    }


async def test_sessions_stay_on_their_release_while_both_run(
    temporal_server: TemporalServer,
) -> None:
    name = f"versions-{uuid.uuid4().hex}"
    before, after = (
        worker_settings(temporal_server.address, name).model_copy(
            update={"temporal_deployment_name": name, "temporal_worker_build_id": build}
        )
        for build in ("1.0", "2.0")
    )
    client = await temporal_client.connect(before)
    start = client.start_workflow

    async with serving_all(client, before, [], [WaitingWorkflow]):
        await make_current(client, before)
        old = await start(WaitingWorkflow.run, id=f"{name}-old", task_queue=name)
        await eventually(lambda: _begun(old), what="the first begins")
        async with serving_all(client, after, [], [WaitingWorkflow]):
            await make_current(client, after)
            new = await start(WaitingWorkflow.run, id=f"{name}-new", task_queue=name)
            await eventually(lambda: _begun(new), what="the second begins")
            for handle in (old, new):
                await handle.signal(WaitingWorkflow.finish)
                await handle.result()

    assert await ran_on(old) == {"1.0"}
    assert await ran_on(new) == {"2.0"}


async def _begun(handle: WorkflowHandle[WaitingWorkflow, None]) -> bool:
    return bool(await ran_on(handle))
