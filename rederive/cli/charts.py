"""A report's chart: the numbers of a table by its first column, as SVG or for a terminal."""

from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

from rederive.cli.plain import plain

if TYPE_CHECKING:
    import polars
    from matplotlib.figure import Figure

_PANELS = 6
_SVG_LABELS, _TERMINAL_LABELS = 200, 40
_LONGEST_LABEL = 40
_WIDEST, _LINE_ROWS = 100, 14
NOTHING = "there are no numbers to draw"


@dataclass(frozen=True, slots=True)
class Chart:
    """Numbers by label, a panel for each column: as lines where labels are times in order, else as bars.

    `more` counts the rows that have no room.
    """

    title: str
    labels: list[str]
    panels: Mapping[str, list[float | None]]
    lines: bool
    more: int


def chart(title: str, tables: "Mapping[str, polars.DataFrame]", most: int) -> Chart | None:
    """Of the first table with numbers, at most so many rows of it; None where there are none.

    One of several rows comes before one of a single row, which is drawn by its columns.
    """
    for name, table in sorted(tables.items(), key=lambda one: one[1].height < 2):
        numbers = [one for one in table.columns if table[one].dtype.is_numeric() and not one.endswith("_id")]
        if not numbers or table.is_empty():
            continue
        headed = title if name in (title, "report") else f"{title}: {name}"
        if table.height == 1 and len(numbers) > 1:
            row = table.row(0, named=True)
            return Chart(headed, numbers[:most], {"": [_number(row[one]) for one in numbers[:most]]}, False, 0)
        others = [one for one in table.columns if one not in numbers]
        if not others and len(numbers) > 1:
            others, numbers = numbers[:1], numbers[1:]
        shown = table.head(most)
        labels = [str(number + 1) for number in range(shown.height)]
        ordered = False
        if others:
            named = _telling(shown, others)
            labels = [_label(" ".join(str(cell) for cell in row)) for row in shown.select(named).iter_rows()]
            first = shown[named[0]]
            ordered = len(named) == 1 and shown.height > 2 and first.dtype.is_temporal() and first.is_sorted()
        panels = {one: [_number(cell) for cell in shown[one]] for one in numbers[:_PANELS]}
        return Chart(headed, labels, panels, ordered, table.height - shown.height)
    return None


def _telling(table: "polars.DataFrame", columns: list[str]) -> list[str]:
    """The first column that tells rows apart, else up to three that differ at all, else the first."""
    alone = [name for name in columns if table[name].n_unique() == table.height]
    return alone[:1] or [name for name in columns if table[name].n_unique() > 1][:3] or columns[:1]


def _number(cell: object) -> float | None:
    return None if cell is None else float(cell)  # type: ignore[arg-type]


def _label(cell: object) -> str:
    text = plain(str(cell))
    return text if len(text) <= _LONGEST_LABEL else f"{text[: _LONGEST_LABEL - 1]}…"


def svg(title: str, tables: "Mapping[str, polars.DataFrame]") -> str:
    """The chart as an SVG document, the same for the same figures; one that says so where there is nothing to draw."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    drawn = chart(title, tables, _SVG_LABELS)
    # Stored text is text: $ begins no formula. Ids that are made by chance would make each file another one.
    with rc_context({"svg.hashsalt": "rederive", "svg.fonttype": "none", "text.parse_math": False}):
        if drawn is None:
            figure = Figure(figsize=(8, 1.5))
            figure.text(0.5, 0.5, f"{title}: {NOTHING}", ha="center", va="center")
        else:
            height = 3.2 if drawn.lines else 1.2 + 0.22 * len(drawn.labels)
            figure = Figure(figsize=(9, 0.6 + height * len(drawn.panels)), layout="constrained")
            _draw(figure, drawn)
        text = StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def _draw(figure: "Figure", drawn: Chart) -> None:
    more = f" (the first {len(drawn.labels)} of {len(drawn.labels) + drawn.more})" if drawn.more else ""
    figure.suptitle(f"{drawn.title}{more}")
    places = range(len(drawn.labels))
    for axes, (name, numbers) in zip(
        figure.subplots(len(drawn.panels), 1, squeeze=False)[:, 0], drawn.panels.items(), strict=True
    ):
        cells = [float("nan") if one is None else one for one in numbers]
        axes.set_title(name, fontsize="medium")
        if drawn.lines:
            axes.plot(places, cells, marker=".")
            step = max(1, len(places) // 8)
            axes.set_xticks(list(places)[::step], drawn.labels[::step], rotation=20, fontsize="small")
        else:
            axes.barh(places, cells)
            axes.set_yticks(places, drawn.labels, fontsize="small")
            axes.invert_yaxis()


def terminal(title: str, tables: "Mapping[str, polars.DataFrame]", width: int) -> str:
    """The chart in characters, at most so many columns wide, without colors or any other escapes."""
    from plotext import figure

    drawn = chart(title, tables, _TERMINAL_LABELS)
    if drawn is None:
        return f"{title}: {NOTHING}\n"
    parts = [] if not drawn.more else [f"the first {len(drawn.labels)} of {len(drawn.labels) + drawn.more} rows"]
    for name, numbers in drawn.panels.items():
        figure.clear()
        figure.theme("colorless")
        figure.title(f"{drawn.title}: {name}" if name else drawn.title)
        rows = _LINE_ROWS if drawn.lines else len(numbers) + 4
        figure.plot_size(min(width, _WIDEST), rows)
        if drawn.lines:
            known = [(place, one) for place, one in enumerate(numbers) if one is not None]
            signal = figure.signal([place for place, _ in known], [one for _, one in known])
            signal.lines()
            figure.draw(signal)
            step = max(1, (len(numbers) - 1) // 3)
            figure.ruler().ticks(list(range(len(numbers)))[::step], drawn.labels[::step])
        else:
            bars = [one or 0 for one in numbers]
            # The first stands on top. Left to itself plotext cuts bars that lie at the widths of others.
            figure.ruler("x").lim(min(0, *bars), max(0, *bars) or int(not any(bars)))
            figure.draw(figure.bar(_apart(drawn.labels)[::-1], bars[::-1], orientation="h", width=0.5))
        parts.append(figure.build().string(colorless=True).rstrip("\n"))
    return "\n".join(parts) + "\n"


def _apart(labels: list[str]) -> list[str]:
    """Labels that differ: bars of the same one would lie over each other."""
    seen: dict[str, int] = {}
    found = []
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        found.append(label if seen[label] == 1 else f"{label} ({seen[label]})")
    return found
