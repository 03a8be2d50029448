"""A comparison as one HTML file: tables, and bars as SVG; no script, no request. Everything stored is escaped."""

from collections.abc import Sequence
from html import escape

from sinks.comparing import Compared, Differing

_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
body{color:#1b1f24;background:#fff}table{border-collapse:collapse;margin:.5rem 0 1.5rem}
th,td{padding:.2rem .8rem .2rem 0;text-align:right;vertical-align:top}
th:first-child,td:first-child,td.left{text-align:left}th{color:#57606a;font-weight:500}svg{vertical-align:middle}
rect{fill:#0969da}.less rect{fill:#bc4c00}.wide{overflow-x:auto}
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}th{color:#9198a1}rect{fill:#4493f8}
.less rect{fill:#f0883e}}"""
_BAR = 160


def page(one: str, other: str, left_out: Sequence[str], found: Sequence[Compared]) -> str:
    """The whole document."""
    title = escape(f"{one} against {'what is served' if other == 'served' else other}")
    parts = [f"<h1>{title}</h1>"]
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
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width"><title>{title}</title><style>{_STYLE}</style></head>'
        f"<body>{''.join(parts)}</body></html>\n"
    )


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th scope=col>{heading}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _bar(count: int, most: int, said: str) -> str:
    width = max(1, round(_BAR * count / most)) if most and count else 0
    named = f'role="img" aria-label="{escape(said)}"'
    return f'<svg width="{_BAR}" height="12" {named}><rect width="{width}" height="12"/></svg>'


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
    return _table(headings, rows)


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
    return _table(("day", "rows", "differ", ""), rows)


def _examples(compared: Compared) -> str:
    rows = [
        (escape(",".join(one.key)), escape(name or "only on one side"), *(_value(each) for each in values))
        for one in compared.examples
        for name, values in (one.values or {"": (None, None)}).items()
    ]
    return _table(("key", "column", "first", "second"), rows) if rows else ""


def _value(value: str | None) -> str:
    return "<i>NULL</i>" if value is None else escape(value)
