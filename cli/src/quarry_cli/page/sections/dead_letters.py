"""Dead-letter messages, and with `--write` moving back those that were shown, by their ids, as `quarry dlq redrive` does."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quarry_cli.client.dead_letters import acts as dead_letter_acts
from quarry_cli.client.dead_letters.queue import NO_REASON
from quarry_cli.errors import BadSetting
from quarry_cli.page import words
from quarry_cli.page.forms import form_of
from quarry_cli.page.reads import DEAD_LETTERS_SHOWN_MAX, NOT_REDRIVEN
from quarry_cli.page.site import Site

ID_CHARS_MAX = 100


class DeadLetters:
    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> Sequence[Route]:
        looked_at = [
            Route("/dead-letters", self.queues),
            Route("/dead-letters/{queue}", self.messages, methods=["POST"]),
        ]
        if not self._site.write:
            return looked_at
        return [*looked_at, Route("/dead-letters/{queue}/redrive", self.redrive, methods=["POST"])]

    async def queues(self, _: Request) -> Response:
        """How many messages each queue has."""
        depths = await self._site.reads.depths()
        return self._site.render("dead_letters.html", section="dead-letters", depths=depths, queue=None, messages=[])

    async def messages(self, request: Request) -> Response:
        """A POST: who looks at messages hides them from others for a moment, and adds to their receive count."""
        self._site.check_form(await form_of(request))
        queue = request.path_params["queue"]
        messages = await self._site.reads.dead_letters_of(queue)
        return self._site.render(
            "dead_letters.html",
            section="dead-letters",
            depths=await self._site.reads.depths(),
            queue=queue,
            messages=messages,
            can_redrive=queue not in NOT_REDRIVEN and any(each.whole for each in messages),
            no_reason=NO_REASON,
        )

    async def redrive(self, request: Request) -> Response:
        """Asks first; moves with the answer."""
        form = await form_of(request)
        self._site.check_form(form)
        queue, ids = str(request.path_params["queue"]), _ids(form.get("ids", ""))
        reads = self._site.reads
        dead_letters, source = reads.redriven(queue)
        if form.get("sure") != "yes":
            return self._site.render("redrive.html", section="dead-letters", queue=queue, ids=ids)
        async with self._site.acting("some may be moved; a message that is in both queues does no harm"):
            done = await dead_letter_acts.redrive_by_ids(reads.connections, queue, dead_letters, source, ids)
        return self._site.render(
            "operated.html",
            section="dead-letters",
            title="Move back",
            said=f"{words.count(done.done, 'message')} moved back to {queue}.",
            more=[f"{each} {why}" for each, why in done.left.items()],
            back="/dead-letters",
            back_text="Back to the dead-letter messages",
        )


def _ids(text: str) -> list[str]:
    """Those that were shown. Raises BadSetting."""
    ids = text.split()
    if not ids or len(ids) > DEAD_LETTERS_SHOWN_MAX or any(len(each) > ID_CHARS_MAX for each in ids):
        raise BadSetting(f"ids: one to {DEAD_LETTERS_SHOWN_MAX} messages that were shown: show them again")
    return list(dict.fromkeys(ids))
