"""The settings of the services, the command and the local stack."""

from __future__ import annotations

from tools.pages.fields import SETTING_HEAD, default_of, setting_rows, variables_of
from tools.pages.text import Lines, code, table

from quarry_cli.settings import ClientSettings, PageSettings
from quarry_core.settings import Settings
from quarry_local.bedrock.faults.plan import Faults as SimulatorFaults
from quarry_local.bedrock.settings import Settings as SimulatorSettings
from quarry_local.hub.settings import Settings as HubSettings
from quarry_local.settings import LOCAL_WAITS


def settings_of_services() -> Lines:
    return table(SETTING_HEAD, setting_rows(Settings, variables_of))


def settings_of_the_command() -> Lines:
    return table(SETTING_HEAD, setting_rows(ClientSettings, variables_of))


def settings_of_the_page() -> Lines:
    return table(SETTING_HEAD, setting_rows(PageSettings, variables_of))


def settings_of_the_simulator() -> Lines:
    """Those that are no fault: the faults have a page with more room."""
    head = ("`--sim` key", *SETTING_HEAD[1:])
    faults = {code(name) for name in SimulatorFaults.model_fields}
    rows = setting_rows(SimulatorSettings, lambda name, _: code(name))
    return table(head, (row for row in rows if row[0] not in faults))


def faults_of_the_simulator() -> Lines:
    return table(("Fault", *SETTING_HEAD[1:]), setting_rows(SimulatorFaults, lambda name, _: code(name)))


def settings_of_the_hub() -> Lines:
    return table(("`--hub-set` key", *SETTING_HEAD[1:]), setting_rows(HubSettings, lambda name, _: code(name)))


def waits_of_the_local_stack() -> Lines:
    fields = {f"QUARRY_{name.upper()}": field for name, field in Settings.model_fields.items()}
    return table(
        ("Variable", "Local stack", "Otherwise"),
        ([code(name), code(value), default_of(fields[name])] for name, value in LOCAL_WAITS.items()),
    )
