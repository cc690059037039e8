"""Generate the pages that can be generated: `make docs`. With `--check`, name the stale ones and exit 1: `make check`.

Theory of operation. A page is prose with blocks between two markers, `<!-- generated: <name> ... -->` and
`<!-- end -->`; what stands between them is made here from the code, everything else is written by hand and left as it
is. One page, the JSON Schema, is generated whole. Nothing depends on time, machine, terminal or order of files, so the
same code gives the same bytes. To add a block: write a function that returns its lines in the module of `tools/pages` that
is about it, name it in `BLOCKS`, and put its markers into a page.

    python tools/generate_docs.py [--check]
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.pages import command, family_table, manifest, messages, metrics, promises, settings, states
from tools.pages.text import DOCS, ROOT, Lines

SCHEMA = DOCS / "manifest.schema.json"
BLOCK = re.compile(r"(?P<head><!-- generated: (?P<name>[a-z0-9-]+)[^\n]*-->\n).*?(?P<tail><!-- end -->)", re.DOTALL)


BLOCKS: Mapping[str, Callable[[], Lines]] = {
    "settings": settings.settings_of_services,
    "settings-command": settings.settings_of_the_command,
    "settings-page": settings.settings_of_the_page,
    "settings-simulator": settings.settings_of_the_simulator,
    "faults-simulator": settings.faults_of_the_simulator,
    "settings-hub": settings.settings_of_the_hub,
    "local-waits": settings.waits_of_the_local_stack,
    "run-machine": states.run_machine,
    "shard-machine": states.shard_machine,
    "shard-facts": states.shard_facts,
    "job-statuses": states.job_statuses,
    "metrics": metrics.metrics,
    "manifest": manifest.manifest_fields,
    "manifest-prompt": manifest.prompt_fields,
    "manifest-csv": manifest.csv_fields,
    "manifest-sample": manifest.sample_fields,
    "manifest-images": manifest.image_fields,
    "manifest-canary": manifest.canary_fields,
    "manifest-record-errors": manifest.record_error_fields,
    "retryable-codes": manifest.retryable_codes,
    "answerable-codes": manifest.answerable_codes,
    "transient-codes": manifest.transient_codes,
    "manifest-vpc": manifest.vpc_fields,
    "manifest-not-yet": manifest.not_yet,
    "families": manifest.families,
    "aliases": manifest.aliases,
    "family-table": family_table.lines,
    "parameters": manifest.parameters,
    "job-limits": manifest.job_limits,
    "wakeups": messages.wakeups,
    "wakeup-fields": messages.wakeup_fields,
    "job-event-fields": messages.job_event_fields,
    "queues": messages.queues,
    "cli": command.command_help,
    "doctor-checks": command.doctor_checks,
    "doctor-policy": command.doctor_policy,
    "promises": promises.promise_overview,
}


def block(name: str) -> Lines:
    """The lines of a block. Raises KeyError for a name that nothing here makes."""
    if name.startswith("tests-"):
        return promises.tests_of(name.removeprefix("tests-").upper())
    return BLOCKS[name]()


def filled(page: str) -> str:
    return BLOCK.sub(lambda found: found["head"] + "\n".join(["", *block(found["name"]), "", found["tail"]]), page)


def pages() -> dict[Path, str]:
    """Every page that has something generated, as it should be."""
    found = {path: filled(path.read_text()) for path in sorted(DOCS.glob("*.md")) if BLOCK.search(path.read_text())}
    return {**found, SCHEMA: manifest.schema_file()}


def main(arguments: list[str]) -> int:
    """Write the stale pages, or with `--check` only name them; the exit code."""
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text() != text]
    if "--check" in arguments:
        for path in stale:
            print(f"stale: {path.relative_to(ROOT)} (make docs)")
        return 1 if stale else 0
    for path, text in pages().items():
        if path in stale:
            path.write_text(text)
            print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
