"""What is done with sound beside the engine: noise, pronunciation, background, avatar."""

from agent.sound.call_sound import CallSound

__all__ = ["CallSound"]
