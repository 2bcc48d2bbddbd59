"""One address, two schemes."""

import pytest

from adapters.livekit.urls import api_url, client_url


@pytest.mark.parametrize(
    ("given", "for_servers", "for_clients"),
    [
        ("wss://x.livekit.cloud", "https://x.livekit.cloud", "wss://x.livekit.cloud"),
        ("ws://localhost:7880/", "http://localhost:7880", "ws://localhost:7880"),
        ("https://lk.example/base/", "https://lk.example/base", "wss://lk.example/base"),
        ("http://[::1]:7880", "http://[::1]:7880", "ws://[::1]:7880"),
        ("WSS://X.example", "https://X.example", "wss://X.example"),
    ],
)
def test_both_forms_of_a_url(given: str, for_servers: str, for_clients: str) -> None:
    assert api_url(given) == for_servers
    assert client_url(given) == for_clients
    assert api_url(client_url(given)) == for_servers
