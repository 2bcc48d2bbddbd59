"""The operating system's view of agent jobs: which process talks in which session."""

from pathlib import Path

import psutil

from agent.spool import Target
from domain.ids import SessionKey


def job_process(agent_pid: int, key: SessionKey, attempt: int) -> psutil.Process | None:
    """The process that holds a session's spool entry, and so is the agent of that attempt."""
    target = Target(
        callback_url="",
        callback_token="",
        org=key.org,
        session_id=key.session_id,
        attempt=attempt,
        job_id="",
    )
    prefix = target.entry_name().rpartition("-")[0]
    try:
        children = psutil.Process(agent_pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return None
    for process in children:
        try:
            files = process.open_files()
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
        if any(Path(file.path).parent.name.startswith(prefix) for file in files):
            return process
    return None
