"""`python -m quarry_local.bedrock`: serve until SIGTERM or SIGINT.

When ready, one line of JSON with the port goes to standard output; the log goes to standard error.
"""

import asyncio
import json
import logging
import os
import signal
import sys
import threading
from typing import NoReturn

from quarry_local.bedrock.api.tls import CA, NoTls
from quarry_local.bedrock.aws import NoEmulator
from quarry_local.bedrock.server import SimulatedBedrock
from quarry_local.bedrock.settings import Settings


async def serve(settings: Settings) -> None:
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    server = SimulatedBedrock(settings, _print_line if settings.print_events else None)
    async with server as url:
        ready = {"port": int(url.rsplit(":", 1)[-1]), "url": url}
        if server.tls_url:
            ready |= {"tls_url": server.tls_url, "ca": str((settings.tls_directory / CA).resolve())}
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        await ending.wait()


def _print_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(arguments: list[str] | None = None) -> int:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = Settings(_cli_parse_args=sys.argv[1:] if arguments is None else arguments)
    try:
        asyncio.run(serve(settings))
    except (NoEmulator, NoTls, OSError) as wrong:
        sys.stderr.write(f"{wrong}\n")
        return 1
    return 0


def run(arguments: list[str] | None = None) -> NoReturn:
    """`main`, and the end of the process."""
    code = main(arguments)
    if any(thread.name.startswith(("records", "events")) for thread in threading.enumerate()):
        # A thread that waits for the emulator would hold the process back until its timeout.
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    run()
