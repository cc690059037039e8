"""Numbers as Grafana writes them, nearly."""

from __future__ import annotations

from collections.abc import Iterable


def in_words(value: float, unit: str, decimals: int | None, now_s: float) -> str:
    """A value as Grafana writes it, nearly."""
    match unit:
        case "s":
            return _time(value, decimals)
        case "dateTimeFromNow":
            left_s = value / 1000 - now_s
            return f"in {_time(left_s, 0)}" if left_s >= 0 else f"{_time(-left_s, 0)} ago"
        case "percentunit":
            return f"{_short(100 * value, decimals)} %"
        case "currencyUSD":
            return f"${value:,.{decimals if decimals is not None else (2 if value >= 1 or value == 0 else 3)}f}"
        case "bytes":
            return _scaled(value, ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")), "B")
        case "reqps":
            return f"{_short(value, decimals)}/s"
        case "short" | "none":
            return _scaled(value, ((1e9, "Bil"), (1e6, "Mil"), (1e4, "K")), "", decimals)
    raise ValueError(f"no words for the unit {unit}")


def _short(value: float, decimals: int | None) -> str:
    if decimals is not None:
        return f"{value:.{decimals}f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"


def _scaled(value: float, scale: Iterable[tuple[float, str]], rest: str, decimals: int | None = None) -> str:
    for size, name in scale:
        if abs(value) >= size:
            return f"{_short(value / (1e3 if name == 'K' else size), None)} {name}"
    return f"{value:,.0f}" if decimals == 0 else f"{_short(value, decimals)} {rest}".strip()


def _time(value: float, decimals: int | None) -> str:
    for size, name in ((86_400, "days"), (3_600, "hours"), (60, "min")):
        if value >= 2 * size:
            return f"{_short(value / size, None)} {name}"
    if value >= 1 or value == 0:
        return f"{_short(value, decimals)} s"
    return f"{_short(value * 1000, 0)} ms"
