"""Messages that Everline sends to an agent into its room, and marks that agents carry."""

from typing import Literal

from pydantic import BaseModel

CONTROL_TOPIC = "everline.control"
"""Topic of LiveKit data packets from Everline to the agent; JSON of a `FinishCall`."""

ATTEMPT_ATTRIBUTE = "everline.attempt"
"""Participant attribute by which our agent worker names its attempt; an external agent has none."""

HEARTBEAT_PATH = "/v1/agent-servers/heartbeat"
"""Where agent servers report; signed as LiveKit signs its webhooks."""

HEARTBEAT_PATH_CHECK = "/v1/agent-servers/check"
"""Where the watchdog asks whether a heartbeat would arrive; signed likewise."""


class FinishCall(BaseModel):
    """Tells the agent to finish its call and hand in its report."""

    type: Literal["finish"] = "finish"
    reason: str
