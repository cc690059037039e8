"""`quarry ui`: a page in a browser."""

from __future__ import annotations

import webbrowser
from contextlib import closing
from typing import Annotated

import typer

from quarry_cli.client.connections import connect
from quarry_cli.client.dead_letters.connections import open_post
from quarry_cli.errors import NotConfigured
from quarry_cli.screen import printing
from quarry_cli.screen.printing import Json
from quarry_cli.settings import ClientSettings, PageSettings


def ui(
    ctx: typer.Context,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0 takes a free one.")] = 0,
    write: Annotated[
        bool, typer.Option("--write", help="Let the page control runs, pools and dead-letter messages.")
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="NAME", help="A name under which others reach the page; may be repeated."),
    ] = None,
    as_json: Json = False,
    open_: Annotated[bool, typer.Option("--open/--no-open", help="Open it in a browser.")] = True,
) -> None:
    """Show runs, pools and dead-letter messages as a page in a browser, until Ctrl-C.

    The page is for this machine alone, and asks for a token: open the address that is printed, which signs in. It reads with your credentials what the other commands read. With --write it also does what `quarry approve`, `cancel`, `pause`, `resume`, `set`, `retry`, `limits --set` and `dlq redrive` do. Needs the extra `ui`.
    """
    with printing.telling():
        try:
            from quarry_cli.page.app import Served, build_app  # noqa: PLC0415 an extra
            from quarry_cli.page.links import Links  # noqa: PLC0415 likewise
            from quarry_cli.page.serve import Address, access_of, bind, serve, url_of  # noqa: PLC0415 likewise
        except ImportError as error:
            raise NotConfigured(
                "the page's packages are not installed: run  pip install './cli[ui]'  in the checkout, or put [ui] behind"
                " the name of Quarry's wheel (docs/install.md)"
            ) from error
        settings, page = ClientSettings.read(), PageSettings.read()
        settings.require("region", "table", "bucket")
        names = [*(allow_host or ()), *page.hosts]
        address = Address(host, port, tuple(names))
        with closing(bind(address)) as listening:
            bound: int = listening.getsockname()[1]
            access = access_of(address, bound, page.ui_token.get_secret_value())
            links = Links("" if page.endpoint else settings.region, settings.env, page.ui_dashboard_url)
            name = printing.environment() or settings.env
            served = Served(ctx.obj or connect, access, name, write, links, open_post)
            # A token that was given is known, and does not belong into logs.
            url = url_of(address, bound, None if page.ui_token.get_secret_value() else access)
            if as_json:
                printing.print_json({"url": url})
            else:
                typer.echo(f"the page is at {url}")
            typer.echo("Ctrl-C stops it", err=True)
            if open_ and address.loopback:
                webbrowser.open(url)
            serve(build_app(served), [listening])
