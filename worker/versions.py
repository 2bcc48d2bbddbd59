"""Which release this worker is, for those who run workers of several releases at once."""

from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import WorkerDeploymentConfig

from adapters.settings import WorkerSettings


def deployment_of(settings: WorkerSettings) -> WorkerDeploymentConfig | None:
    """The deployment version that sessions stay on once they have begun; None if it is not set."""
    if not settings.temporal_deployment_name:
        return None
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(
            deployment_name=settings.temporal_deployment_name,
            build_id=settings.temporal_worker_build_id,
        ),
        use_worker_versioning=True,
        # Every workflow here is short, except for deliveries of webhooks: days.
        default_versioning_behavior=VersioningBehavior.PINNED,
    )
