"""`python -m quarry_local.hub --folder FOLDER`: serve until SIGTERM or SIGINT.

When ready, one line of JSON with the port goes to standard output; the log goes to standard error.
"""

import asyncio
import json
import logging
import signal
import sys

from quarry_local.hub.datasets import BadFolder
from quarry_local.hub.server import SimulatedHub
from quarry_local.hub.settings import Settings


async def serve(settings: Settings) -> None:
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    async with SimulatedHub(settings) as url:
        sys.stdout.write(json.dumps({"port": int(url.rsplit(":", 1)[-1]), "url": url}) + "\n")
        sys.stdout.flush()
        await ending.wait()


def main(arguments: list[str] | None = None) -> int:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = Settings(_cli_parse_args=sys.argv[1:] if arguments is None else arguments)
    try:
        asyncio.run(serve(settings))
    except (BadFolder, OSError) as wrong:
        sys.stderr.write(f"{wrong}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
