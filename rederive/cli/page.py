"""Pages that are one HTML file: no script, no request; everything stored is escaped."""

from collections.abc import Sequence
from html import escape

_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
body{color:#1b1f24;background:#fff}table{border-collapse:collapse;margin:.5rem 0 1.5rem}
th,td{padding:.2rem .8rem .2rem 0;text-align:right;vertical-align:top}
th:first-child,td:first-child,td.left{text-align:left}th{color:#57606a;font-weight:500}svg{vertical-align:middle}
.bar rect{fill:#0969da}.less .bar rect{fill:#bc4c00}.wide{overflow-x:auto}.chart svg{max-width:100%;background:#fff}
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}th{color:#9198a1}.bar rect{fill:#4493f8}
.less .bar rect{fill:#f0883e}}"""


def document(title: str, parts: Sequence[str]) -> str:
    """The whole document; `title` is text, `parts` are HTML."""
    title = escape(title)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width"><title>{title}</title><style>{_STYLE}</style></head>'
        f"<body><h1>{title}</h1>{''.join(parts)}</body></html>\n"
    )


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are HTML."""
    head = "".join(f"<th scope=col>{heading}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def value(cell: object) -> str:
    """A stored value as HTML."""
    return "<i>NULL</i>" if cell is None else escape(str(cell))
