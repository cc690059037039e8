"""Links out of the page: to AWS's console, and to a dashboard of the operator's. Pure.

A local stack has no console, so it has no links.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from quarry_cli.client.diagnosis.logs import groups_of, query_of, span_of
from quarry_core.contract.names import parse_s3_uri

LOG_LINES = 1_000
RUN = "{run_id}"
# How the console writes an object into the fragment of its own links to Logs Insights; AWS documents it nowhere. Characters
# of texts stand as `*` and two hex digits, what separates them is encoded twice, with `$` for `%`.
_MARKS = {"~": "$257E", "(": "$2528", ")": "$2529", "'": "$2527"}


@dataclass(frozen=True, slots=True)
class Link:
    text: str
    url: str


@dataclass(frozen=True, slots=True)
class Links:
    """Makes links for one environment.

    Attributes:
        region: empty where nothing leads to AWS.
        env: by which the log groups are called; empty where it is not known.
        dashboard: an address with `{run_id}` in it, or without; empty where there is none.
    """

    region: str = ""
    env: str = ""
    dashboard: str = ""

    def of_run(
        self, run_id: str, results_uri: str | None, accepted_at: str, ended_at: str | None, now: datetime
    ) -> list[Link]:
        """Of a run: its results, its logs, its metrics; as far as they are known."""
        found = []
        if self.region and results_uri:
            bucket, key = parse_s3_uri(results_uri)
            url = f"{self._console('s3')}/s3/buckets/{bucket}?region={self.region}&prefix={quote(key, safe='/')}"
            found.append(Link("Results in S3", url))
        if self.region and self.env:
            found.append(Link("Logs", self._insights(run_id, span_of(accepted_at, ended_at, now))))
        if self.dashboard:
            found.append(Link("Metrics", self.dashboard.replace(RUN, quote(run_id, safe=""))))
        return found

    def _console(self, service: str) -> str:
        host = "console.amazonaws.cn" if self.region.startswith("cn-") else "console.aws.amazon.com"
        return f"https://{self.region}.{host}" if service != "s3" else f"https://{host}"

    def _insights(self, run_id: str, span: tuple[int, int]) -> str:
        begin, end = (f"{datetime.fromtimestamp(each, UTC):%Y-%m-%dT%H:%M:%S.000Z}" for each in span)
        texts = {
            "end": end,
            "start": begin,
            "timeType": "ABSOLUTE",
            "tz": "UTC",
            "editorString": query_of(run_id, LOG_LINES),
        }
        members = [f"{name}~'{_starred(text)}" for name, text in texts.items()]
        groups = "".join(f"~'{_starred(group)}" for group in groups_of(self.env))
        detail = f"~({'~'.join([*members, f'source~({groups})'])})"
        for mark, encoded in _MARKS.items():
            detail = detail.replace(mark, encoded)
        return (
            f"{self._console('cloudwatch')}/cloudwatch/home?region={self.region}"
            f"#logsV2:logs-insights$3FqueryDetail$3D{detail}"
        )


def _starred(text: str) -> str:
    return "".join(
        each
        if each.isascii() and (each.isalnum() or each in "-._")
        else "".join(f"*{byte:02x}" for byte in each.encode())
        for each in text
    )
