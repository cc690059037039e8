"""Delivering a notice that was left on the collector's queue: as an event, or to the webhook.

Theory of operation. Each try is one call. What fails comes again after a pause that doubles; after
`QUARRY_NOTICE_ATTEMPTS_MAX` tries the message is dead-lettered with the reason. That says nothing of this release, so it
does not count among the failures by which a consumer stops.
"""

from __future__ import annotations

from functools import partial

import structlog

from quarry_core.contract.notices import RUN_ENDED, Notice, read_keys, signed, webhook_body
from quarry_core.errors import PortError
from quarry_core.ports import Message
from quarry_core.service.process import World
from quarry_core.service.verdicts import DONE, Poison, Retry, Verdict
from quarry_core.telemetry import metrics

log = structlog.get_logger()
PAUSE_FIRST_S = 5.0
DOUBLINGS_MAX = 10


class Notices:
    def __init__(self, world: World) -> None:
        self._world = world

    async def on_notice(self, message: Message, notice: Notice) -> Verdict:
        """Deliver it; whether it was, or shall be tried again."""
        settings, run_id = self._world.settings, str(notice.detail.get("run_id", ""))
        structlog.contextvars.bind_contextvars(run_id=run_id, step="notice")
        seen = metrics.NOTICES.labels
        try:
            await self._deliver(notice)
        except (KeyError, TypeError) as error:
            return Poison(f"a notice without {error}")
        except PortError as error:
            if message.receive_count < settings.notice_attempts_max:
                seen(notice.notice, "retry").inc()
                return Retry(self._pause_s(message.receive_count), str(error))
            seen(notice.notice, "dead").inc()
            log.error(  # noqa: TRY400 the host's answer is the reason, not a place in our code
                "notice_given_up", channel=notice.notice, tries=message.receive_count, why=str(error)
            )
            return Poison(f"after {message.receive_count} tries: {error}", by_itself=False)
        seen(notice.notice, "ok").inc()
        log.info("notice_delivered", channel=notice.notice, event_id=notice.detail["event_id"])
        return DONE

    async def _deliver(self, notice: Notice) -> None:
        world = self._world
        if notice.notice == "event":
            await world.bus.put(RUN_ENDED, notice.detail)
            return
        if world.webhook is None:
            log.warning("notice_unwanted", why="QUARRY_WEBHOOK_URL is not set any more")
            return
        body = webhook_body(notice.detail)
        at_s = int(world.clock.now().timestamp())
        keys = read_keys(world.settings.webhook_key.get_secret_value())
        headers = signed(keys, str(notice.detail["event_id"]), at_s, body)
        await world.offload.run(partial(world.webhook.post, body, headers))

    def _pause_s(self, tries: int) -> float:
        longest = min(PAUSE_FIRST_S * 2 ** min(tries, DOUBLINGS_MAX), self._world.settings.retry_after_max_s)
        return self._world.clock.uniform(longest / 2, longest)
