"""LiveKit's configuration for one stack."""

import json

from stack.layout.credentials import Credentials
from stack.layout.environment import Addresses
from stack.layout.files import write_atomically
from stack.layout.home import Home

WEBHOOK_PATH = "/v1/livekit/webhook"


def livekit_config(credentials: Credentials, addresses: Addresses) -> dict[str, object]:
    """Return LiveKit's settings: loopback alone, no room that nobody asked for, signed webhooks."""
    ports = addresses.ports
    return {
        "port": ports.livekit,
        "bind_addresses": ["127.0.0.1"],
        "rtc": {
            "tcp_port": ports.livekit_tcp,
            "udp_port": str(ports.livekit_udp),
            "use_external_ip": False,
            # Media stays on the machine as well: found to connect Python and browsers alike, and
            # it does not change when a laptop changes its network.
            "node_ip": "127.0.0.1",
            "enable_loopback_candidate": True,
            "ips": {"includes": ["127.0.0.1/32"]},
        },
        # A caller's late token or a late dispatch would bring a deleted room back to life.
        "room": {"auto_create": False},
        # Whoever says that it has a place gets a job, however high the load that it reports: by
        # default, dispatches to agents at 70 % are dropped.
        "agents": {"target_load": 1.0},
        "webhook": {
            "api_key": credentials.livekit_api_key,
            "urls": [addresses.api + WEBHOOK_PATH],
        },
        "keys": {credentials.livekit_api_key: credentials.livekit_api_secret},
        "logging": {"level": "info", "json": False},
    }


def write_livekit_config(home: Home, credentials: Credentials, addresses: Addresses) -> None:
    """Write it as JSON, which is YAML too; readable by its owner alone."""
    text = json.dumps(livekit_config(credentials, addresses), indent=2)
    write_atomically(home.livekit_config, text, private=True)
