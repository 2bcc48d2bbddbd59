"""The sign of life of agent servers: which exist, under which name, and how full they are."""

from datetime import datetime

from pydantic import BaseModel, Field


class JobTick(BaseModel):
    """One running job of an agent server."""

    job_id: str
    org: str | None = None
    session_id: str | None = None
    attempt: int | None = None
    last_tick: datetime | None = None
    """Last time the job's event loop answered."""


class Heartbeat(BaseModel):
    """What an agent server reports every two seconds."""

    server_id: str = Field(min_length=1, max_length=200)
    agent_name: str = Field(max_length=200)
    max_jobs: int = Field(ge=0)
    draining: bool = False
    version: str | None = None
    jobs: list[JobTick] = Field(default=[], max_length=2_000)


class AgentServer(BaseModel):
    """An agent server as Everline last heard of it."""

    server_id: str
    agent_name: str
    max_jobs: int
    draining: bool
    version: str | None = None
    jobs: list[JobTick]
    last_heartbeat: datetime
