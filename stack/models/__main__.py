"""`python -m stack.models`: serve speech and chat to the agents of this machine."""

import logging
import os
import sys

import uvicorn
from pydantic import ValidationError

from stack.models.app import create_app
from stack.models.settings import ModelsSettings

_log = logging.getLogger("everline.models")


def main() -> int:
    """Run until told to stop; returns the exit code, 1 if the models cannot be loaded."""
    # Read by the model libraries when they are imported, which happens later: never download.
    os.environ["HF_HUB_OFFLINE"] = "1"
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        settings = ModelsSettings()
    except ValidationError as error:
        for problem in error.errors():
            name = f"EVERLINE_MODELS_{'_'.join(map(str, problem['loc'])).upper()}"
            _log.critical("%s: %s", name, problem["msg"])
        return 2
    logging.getLogger().setLevel(settings.log_level.upper())
    failed = False

    def on_load_failure() -> None:
        nonlocal failed
        failed = server.should_exit = True

    server = uvicorn.Server(
        uvicorn.Config(
            create_app(settings, on_load_failure),
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            # A client that stays connected must not keep the process from ending.
            timeout_graceful_shutdown=5,
        )
    )
    server.run()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
