"""LiveKit's configuration for one stack."""

from stack.layout.credentials import Credentials
from stack.layout.environment import Addresses


def common_config(key: str, secret: str, api: str) -> dict[str, object]:
    """Return the settings that every LiveKit server of Everline needs.

    `api` is the URL of the API, which gets the webhooks.
    """
    return {
        # A late token or dispatch would recreate a deleted room.
        "room": {"auto_create": False},
        # Agent servers with a free slot get jobs whatever load they report; by default,
        # dispatches to agents at 70 % load are dropped.
        "agents": {"target_load": 1.0},
        "webhook": {"api_key": key, "urls": [f"{api}/v1/livekit/webhook"]},
        "keys": {key: secret},
    }


def livekit_config(credentials: Credentials, addresses: Addresses) -> dict[str, object]:
    """Return LiveKit's settings: loopback only, no automatic rooms, signed webhooks."""
    ports = addresses.ports
    key, secret = credentials.livekit_api_key, credentials.livekit_api_secret
    return common_config(key, secret, addresses.api) | {
        "port": ports.livekit,
        "bind_addresses": ["127.0.0.1"],
        "rtc": {
            "tcp_port": ports.livekit_tcp,
            "udp_port": str(ports.livekit_udp),
            "use_external_ip": False,
            # Media stays on the machine too. This works for Python and browsers, also when a
            # laptop changes its network.
            "node_ip": "127.0.0.1",
            "enable_loopback_candidate": True,
            "ips": {"includes": ["127.0.0.1/32"]},
        },
        # Without a line for each request: Everline lists rooms and participants all the time.
        "logging": {"level": "info", "component_levels": {"api": "warn"}, "json": False},
    }
