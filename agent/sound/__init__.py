"""Audio beside the engine: noise, pronunciation, background sounds, avatar, recording."""

from agent.sound.call_sound import CallSound

__all__ = ["CallSound"]
