"""The process that talks: LiveKit Agents in the room, the callback API behind it."""
