"""LiveKit's two URLs: clients speak WebSocket, server calls speak HTTP, at the same address."""

_TO_HTTP = {"wss": "https", "ws": "http"}
_TO_WEBSOCKET = {http: websocket for websocket, http in _TO_HTTP.items()}


def api_url(livekit_url: str) -> str:
    """The http(s) URL that server calls go to: `wss://` becomes `https://`, `ws://` `http://`."""
    return _with_scheme(livekit_url, _TO_HTTP)


def client_url(livekit_url: str) -> str:
    """The ws(s) URL that callers connect to: `https://` becomes `wss://`, `http://` `ws://`."""
    return _with_scheme(livekit_url, _TO_WEBSOCKET)


def _with_scheme(url: str, schemes: dict[str, str]) -> str:
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    return f"{schemes.get(scheme, scheme)}{separator}{rest.rstrip('/')}"
