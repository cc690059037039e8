"""What the dashboards are made of: panels, and the pieces of PromQL that repeat in them.

Theory of operation. Every query takes the variables of the dashboard: `$cluster`,
`$namespace`, `$env` and `$pool` choose, `$window` is the length
of what "in the last ..." means, in seconds. Replicas of the scheduler set the same gauges of the ledger, so those go
through `ledger` (max by); counters go through `grown` (sum by), the expression of the recording rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as dashboard_models
from tools import growth

SOURCE = dashboard_models.DataSourceRef(type_val="prometheus", uid="${datasource}")
RUNBOOK = "${runbook:raw}"
# What the person looking chooses first: where the environment runs, and which it is. A series without such a label is taken by `All`.
WHERE = ('cluster=~"$cluster"', 'namespace=~"$namespace"', 'env=~"$env"')
ENVIRONMENT = ("cluster", "namespace", "env")  # labels that tell one environment from another
JOBS = 'job=~"quarry-(preprocessor|scheduler|collector)"'
RED, AMBER, GREEN, BLUE, PURPLE, YELLOW = "red", "orange", "green", "blue", "purple", "yellow"

# Length of `$window` by what a person reads.
WINDOWS_S = {"1 minute": 60, "5 minutes": 300, "1 hour": 3_600, "6 hours": 21_600, "1 day": 86_400}
WINDOW = "5 minutes"

Query = tuple[str, str]  # PromQL, and the legend of its series
Step = tuple[float, str]  # from this value on, this colour


# ------------------------------------------------------------------------------------------------- PromQL


def chosen(metric: str, *matchers: str) -> str:
    """The series of a metric that the person looking has chosen."""
    return metric + "{" + ",".join((*WHERE, *matchers)) + "}"


def of_pool(metric: str, *matchers: str) -> str:
    """Likewise, of a metric that has pools."""
    return chosen(metric, 'pool=~"$pool"', *matchers)


def ledger(series: str, *labels: str) -> str:
    """A gauge that every replica of the scheduler sets alike, once for each environment."""
    return f"max by ({', '.join((*ENVIRONMENT, *labels))}) ({series})"


def grown(metric: str, *labels: str, matchers: Sequence[str] = ()) -> str:
    """By how much a counter rose in the window, births and restarts included, summed over what is not in `labels`."""
    return growth.grown(metric, labels, "${window}s", "${window}s", (*WHERE, *matchers))


def quantile(share: float, histogram: str, *labels: str, matchers: Sequence[str] = ()) -> str:
    buckets = chosen(f"{histogram}_bucket", *matchers)
    return f"histogram_quantile({share}, sum by ({', '.join(('le', *labels))}) (rate({buckets}[${{window}}s])))"


def mean(histogram: str, *, matchers: Sequence[str] = ()) -> str:
    both = (f"sum(rate({chosen(f'{histogram}_{part}', *matchers)}[${{window}}s]))" for part in ("sum", "count"))
    return " / ".join(both)


def longest(age: str) -> str:
    """The most that an age came to within the window, looked at every 15 seconds."""
    return f"max_over_time(({age})[${{window}}s:15s])"


def or_nothing(query: str, label: str = "") -> str:
    """Zero where the query finds nothing, for what is rightly absent while everything is healthy; `label` says "none" then."""
    zero = f'label_replace(vector(0), "{label}", "none", "", "")' if label else "vector(0)"
    return f"{query} or on () {zero}"


# ------------------------------------------------------------------------------------------------- panels


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel.

    Attributes:
        title: may name `${window:text}`.
        description: for a reader who sees the panel for the first time.
        queries: PromQL and legend.
        unit: one of Grafana's.
        width: of 24 columns.
        steps: colours by value; the first that is reached from above wins. Below them it is green.
        alert: name of the alert whose paragraph of the runbook the panel links to.
        decimals: digits behind the point; None leaves that to Grafana.
    """

    title: str
    description: str
    queries: Sequence[Query]
    unit: str
    width: int
    height: int = 8
    steps: Sequence[Step] = ()
    alert: str | None = None
    decimals: int | None = None

    def build(self, number: int) -> Builder[dashboard_models.Panel]:
        raise NotImplementedError

    def _links(self) -> list[Builder[dashboard_models.DashboardLink]]:
        if self.alert is None:
            return []
        link = dashboard.DashboardLink(f"Runbook: {self.alert}").type(dashboard_models.DashboardLinkType.LINK)
        return [link.url(f"{RUNBOOK}#{self.alert.lower()}").target_blank(True)]

    def _targets(self, *, instant: bool) -> list[Builder[Dataquery]]:
        targets: list[Builder[Dataquery]] = []
        for position, (expression, legend) in enumerate(self.queries):
            target = prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(chr(ord("A") + position))
            targets.append((target.instant() if instant else target.range()).datasource(SOURCE))
        return targets

    def _thresholds(self, base: str) -> dashboard.ThresholdsConfig:
        steps = [dashboard_models.Threshold(None, base)]
        steps += [dashboard_models.Threshold(value, colour) for value, colour in self.steps]
        return dashboard.ThresholdsConfig().mode(dashboard_models.ThresholdsMode.ABSOLUTE).steps(steps)


@dataclass(frozen=True, kw_only=True)
class Figure(Panel):
    """One number, or one for each series; as it is now."""

    height: int = 3
    base: str = GREEN
    nothing: str = "none"
    names: bool = False

    def build(self, number: int) -> Builder[dashboard_models.Panel]:
        panel = stat.Panel().id(number).title(self.title).description(self.description).links(self._links())
        panel = panel.datasource(SOURCE).targets(self._targets(instant=True)).unit(self.unit).no_value(self.nothing)
        panel = panel.thresholds(self._thresholds(self.base)).color_scheme(_by_thresholds())
        panel = panel.graph_mode(common_models.BigValueGraphMode.NONE).color_mode(common_models.BigValueColorMode.VALUE)
        panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        mode = common_models.BigValueTextMode.VALUE_AND_NAME if self.names else common_models.BigValueTextMode.VALUE
        panel = panel.text_mode(mode).span(self.width).height(self.height)
        return panel if self.decimals is None else panel.decimals(self.decimals)


@dataclass(frozen=True, kw_only=True)
class Bars(Panel):
    """A bar for each series, as it is now."""

    def build(self, number: int) -> Builder[dashboard_models.Panel]:
        panel = bargauge.Panel().id(number).title(self.title).description(self.description).links(self._links())
        panel = panel.datasource(SOURCE).targets(self._targets(instant=True)).unit(self.unit).min(0)
        panel = panel.thresholds(self._thresholds(BLUE)).color_scheme(_by_thresholds())
        panel = panel.orientation(common_models.VizOrientation.HORIZONTAL)
        panel = panel.display_mode(common_models.BarGaugeDisplayMode.BASIC)
        panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        panel = panel.span(self.width).height(self.height)
        return panel if self.decimals is None else panel.decimals(self.decimals)


@dataclass(frozen=True, kw_only=True)
class Lines(Panel):
    """Series over time.

    Attributes:
        stacked: whether the series add up to something; they are then drawn as areas on one another.
        dashed: legend of a series that is a limit, not a part: dashed, and outside the stack.
        share: whether the axis ends at 1, that is at 100 %.
        orders: whether the axis goes by orders of magnitude; values must then be above 0.
        colours: of series by their legend; the others take Grafana's, one after the other.
    """

    stacked: bool = False
    dashed: str | None = None
    share: bool = False
    orders: bool = False
    colours: Mapping[str, str] = field(default_factory=dict)

    def build(self, number: int) -> Builder[dashboard_models.Panel]:
        panel = timeseries.Panel().id(number).title(self.title).description(self.description).links(self._links())
        panel = panel.datasource(SOURCE).targets(self._targets(instant=False)).unit(self.unit)
        panel = panel.color_scheme(dashboard.FieldColor().mode(dashboard_models.FieldColorModeId.PALETTE_CLASSIC))
        panel = panel.line_width(1).show_points(common_models.VisibilityMode.NEVER)
        panel = panel.fill_opacity(35 if self.stacked else 8).span_nulls(False)
        if self.stacked:
            panel = panel.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL).group("A"))
        if self.steps:
            dashes = common.GraphThresholdsStyleConfig().mode(common_models.GraphThresholdsStyleMode.DASHED)
            panel = panel.thresholds(self._thresholds("transparent")).thresholds_style(dashes)
        if self.share:
            panel = panel.max(1)
        if self.orders:
            orders = common.ScaleDistributionConfig().type(common_models.ScaleDistribution.LOG).log(10)
            panel = panel.scale_distribution(orders)
        else:
            panel = panel.min(0)
        if self.dashed is not None:
            panel = panel.override_by_name(self.dashed, _LIMIT)
        for name, colour in self.colours.items():
            panel = panel.override_by_name(name, [_colour(colour)])
        legend = common.VizLegendOptions().display_mode(common_models.LegendDisplayMode.LIST)
        legend = legend.placement(common_models.LegendPlacement.BOTTOM).show_legend(True)
        tooltip = common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI)
        panel = panel.legend(legend).tooltip(tooltip.sort(common_models.SortOrder.DESCENDING))
        panel = panel.span(self.width).height(self.height)
        return panel if self.decimals is None else panel.decimals(self.decimals)


def _colour(name: str) -> dashboard_models.DynamicConfigValue:
    return dashboard_models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": name})


_LIMIT = [
    dashboard_models.DynamicConfigValue("custom.stacking", {"mode": "none", "group": "B"}),
    dashboard_models.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [8, 6]}),
    dashboard_models.DynamicConfigValue("custom.fillOpacity", 0),
    _colour(RED),
]


def _by_thresholds() -> dashboard.FieldColor:
    return dashboard.FieldColor().mode(dashboard_models.FieldColorModeId.THRESHOLDS)


# ------------------------------------------------------------------------------------------------- dashboards


@dataclass(frozen=True)
class Row:
    title: str
    panels: Sequence[Panel]


def board(name: str, title: str, description: str, rows: Sequence[Row]) -> dashboard.Dashboard:
    """A dashboard with the variables that all of ours share."""
    made = dashboard.Dashboard(f"Quarry: {title}").uid(f"quarry-{name}").description(description).tags(["quarry"])
    made = made.editable().timezone("browser").time("now-3h", "now").refresh("30s")
    made = made.tooltip(dashboard_models.DashboardCursorSync.CROSSHAIR)
    others = dashboard.DashboardLink("Quarry").type(dashboard_models.DashboardLinkType.DASHBOARDS).tags(["quarry"])
    made = made.link(others.include_vars(True).keep_time(True))
    for variable in _variables():
        made = made.with_variable(variable)
    number = 0
    for row in rows:
        number += 1
        made = made.with_row(dashboard.Row(row.title).id(number))
        for panel in row.panels:
            number += 1
            made = made.with_panel(panel.build(number))
    return made


Variable = dashboard.DatasourceVariable | dashboard.QueryVariable | dashboard.CustomVariable | dashboard.TextBoxVariable
Label = Literal["cluster", "namespace", "env", "pool"]


def _variables() -> list[Variable]:
    window = dashboard_models.VariableOption(selected=True, text=WINDOW, value=str(WINDOWS_S[WINDOW]))
    book = "docs/runbook.md"
    return [
        dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"),
        _labels("cluster", "Cluster", "quarry_build_info"),
        _labels("namespace", "Namespace", f"quarry_build_info{{{WHERE[0]}}}"),
        _labels("env", "Environment", f"quarry_build_info{{{','.join(WHERE[:2])}}}"),
        _labels("pool", "Pool", f"quarry_slots_limit{{{','.join(WHERE)}}}"),
        dashboard.CustomVariable("window")
        .label("In the last")
        .values(", ".join(f"{text} : {seconds}" for text, seconds in WINDOWS_S.items()))
        .current(window),
        dashboard.TextBoxVariable("runbook")
        .label("Runbook at")
        .description("Where docs/runbook.md is published; the panels link there")
        .default_value(book)
        .current(dashboard_models.VariableOption(text=book, value=book)),
    ]


def _labels(label: Label, text: str, series: str) -> dashboard.QueryVariable:
    """All values of a label; the choice `All` takes series without it too."""
    everything = dashboard_models.VariableOption(selected=True, text="All", value="$__all")
    found = dashboard.QueryVariable(label).label(text).datasource(SOURCE)
    found = found.query({"query": f"label_values({series}, {label})", "refId": label, "qryType": 1})
    found = found.refresh(dashboard_models.VariableRefresh.ON_TIME_RANGE_CHANGED)
    found = found.sort(dashboard_models.VariableSort.ALPHABETICAL_ASC).include_all(True).all_value(".*")
    return found.multi(label == "pool").current(everything)
