"""The installation that a command acts on: the stack on this machine, or one at a URL."""

from dataclasses import dataclass

import typer

from stack.errors import StackError
from stack.layout.credentials import read_credentials
from stack.layout.home import Home
from stack.supervision.state import read_state

URL_VARIABLE = "EVERLINE_API_URL"
KEY_VARIABLE = "EVERLINE_API_KEY"


@dataclass(frozen=True)
class Installation:
    """The stack in `home`, unless a URL or key is given."""

    home: Home
    url: str | None = None
    key: str | None = None
    given_as_option: bool = False
    """Whether `--url` or `--key` was on the command line."""

    def address(self) -> tuple[str, str]:
        """Return the API's URL and the key to send.

        Raises:
            StackError: One of them is not known.
        """
        if self.url is not None:
            if not self.url.startswith(("http://", "https://")):
                raise StackError(f"{self.url} is not a URL; give one like https://everline.example")
            if not self.key:
                raise StackError(f"give the API key of {self.url}: --key, or {KEY_VARIABLE}")
            return self.url, self.key
        credentials, state = read_credentials(self.home), read_state(self.home)
        key = self.key or (credentials and credentials.api_key)
        if not key or state.urls.api is None:
            command = "everline up" if state.supervisor_pid is None else "everline start api"
            raise StackError(
                f"the API of {self.home.root} is not running; start it with `{command}`, "
                f"or name another one: --url, or {URL_VARIABLE}"
            )
        return state.urls.api, key


def local_home(context: typer.Context) -> Home:
    """Return the folder of the stack on this machine, for commands that act on it alone.

    Raises:
        StackError: An installation elsewhere was named.
    """
    installation: Installation = context.obj
    if installation.given_as_option:
        raise StackError(
            f"`everline {context.info_name}` is for the stack on this machine; leave out --url and "
            "--key"
        )
    return installation.home
