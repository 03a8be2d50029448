"""A comparison as one HTML file: tables, and bars as SVG; no script, no request. Everything stored is escaped."""

from collections.abc import Sequence
from html import escape

from rederive.cli.page import document, table, value
from sinks.comparing import Compared, Differing

_BAR = 160


def page(one: str, other: str, left_out: Sequence[str], found: Sequence[Compared]) -> str:
    """The whole document."""
    parts = []
    for compared in found:
        parts.append(
            f"<h2>{escape(compared.table)}</h2><p>{compared.both:,} rows on both sides, {compared.differing:,} of them "
            f"differ; {compared.only_one:,} only in the first, {compared.only_other:,} only in the second.</p>"
        )
        if compared.equal:
            continue
        parts += [_columns(compared), _days(compared), _examples(compared)]
    if left_out:
        parts.append(f"<p>Left out, not both have computed it: {escape(', '.join(left_out))}</p>")
    return document(f"{one} against {'what is served' if other == 'served' else other}", parts)


def _bar(count: int, most: int, said: str) -> str:
    width = max(1, round(_BAR * count / most)) if most and count else 0
    named = f'role="img" aria-label="{escape(said)}"'
    return f'<svg class="bar" width="{_BAR}" height="12" {named}><rect width="{width}" height="12"/></svg>'


def _columns(compared: Compared) -> str:
    if not compared.columns:
        return ""
    most = max(one.rows for one in compared.columns.values())
    rows = []
    for name, one in compared.columns.items():
        largest = f"{one.absolute.difference:g} at {escape(','.join(one.absolute.key))}" if one.absolute else ""
        share = f"{100 * one.relative.difference:.4g}%" if one.relative else ""
        bar = _bar(one.rows, most, f"{one.rows} rows")
        cells = (escape(name), f"{one.rows:,}", bar, f"{one.appears:,}", f"{one.vanishes:,}", largest, share)
        rows.append((*cells, _spread(one)))
    headings = ("column", "rows", "", "from NULL", "to NULL", "largest", "largest share", "how far, by powers of ten")
    return table(headings, rows)


def _spread(one: Differing) -> str:
    most = max((rows for _, _, rows in one.spread), default=0)
    lines = []
    for sign, power, rows in one.spread:
        size = "no number" if power is None else f"{'-' if sign < 0 else '+'}10<sup>{power}</sup>"
        less = ' class="less"' if sign < 0 else ""
        lines.append(f"<div{less}>{size} {_bar(rows, most, f'{rows} rows')} {rows:,}</div>")
    for what, quantiles in (("difference", one.absolute_quantiles), ("share", one.relative_quantiles)):
        if quantiles:
            said = ", ".join(f"{name} {_figure(what, size)}" for name, size in quantiles.items())
            lines.append(f"<div>{what}: {said}</div>")
    return "".join(lines)


def _figure(what: str, size: float) -> str:
    return f"{100 * size:.3g}%" if what == "share" else f"{size:.3g}"


def _days(compared: Compared) -> str:
    most = max((differ for _, _, differ in compared.days), default=0)
    rows = [
        (escape(day or "unknown"), f"{rows:,}", f"{differ:,}", _bar(differ, most, f"{differ} rows"))
        for day, rows, differ in compared.days
    ]
    return table(("day", "rows", "differ", ""), rows)


def _examples(compared: Compared) -> str:
    rows = [
        (escape(",".join(one.key)), escape(name or "only on one side"), *(value(each) for each in values))
        for one in compared.examples
        for name, values in (one.values or {"": (None, None)}).items()
    ]
    return table(("key", "column", "first", "second"), rows) if rows else ""
