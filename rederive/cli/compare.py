"""`rederive captures compare`: what a capture says that another one doesn't, or that isn't served."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from rederive.cli.captures import CaptureId, Json

if TYPE_CHECKING:
    from sinks.comparing import Compared, Differing


def compare(
    capture: CaptureId,
    other: Annotated[str | None, Parameter(help="Another capture of the same domain. Default: what is served.")] = None,
    /,
    *,
    table: Annotated[list[str] | None, Parameter(help="Only this table; may be said again.", negative="")] = None,
    columns: Annotated[str | None, Parameter(help="Only these: scopes or column names, comma-separated.")] = None,
    tolerance: Annotated[
        list[str] | None,
        Parameter(
            help="Numbers that are no further apart are equal: 0.001, or 0.1% of the larger; may be said once of each.",
            negative="",
        ),
    ] = None,
    examples: Annotated[int, Parameter(help="At most so many rows that differ, a table.")] = 5,
    html: Annotated[Path | None, Parameter(help="Write a page of it to this file, too.")] = None,
    json: Json = False,
) -> int:
    """Hold what a capture has computed against another one, or against what is served; reads only.

    Of one in shadow: what would be served once it is promoted against what is served now. Columns that not both have in
    their scope are left out. Exit: 0 when all is equal, 1 when not.

    Example: rederive captures compare latest:betfair --columns tier-a --tolerance 0.01%
    """
    from rederive.cli.compare_page import page
    from rederive.cli.output import print_json, stderr, stdout
    from rederive.comparison import Comparison, tolerance_of
    from rederive.database import opened
    from schemas.errors import Failed, UsageError

    if examples < 0:
        raise UsageError(f"--examples {examples} is no number of rows", mend="say 0 or more")
    within = tolerance_of(tolerance or ())
    with opened("the comparison") as connection:
        names = tuple(filter(None, (columns or "").split(",")))
        comparison = Comparison.of(connection, capture, other, table or (), names, within)
        found = list(comparison.run(connection, examples))
    one, against = comparison.one.run, comparison.other.run if comparison.other else "served"
    equal = all(compared.equal for compared in found)
    if html is not None:
        try:
            html.write_text(page(one, against, comparison.left_out, found), encoding="utf-8")
        except OSError as error:
            raise Failed(f"{html} can't be written", why=error.strerror or str(error)) from None
    if json:
        tables = {compared.table: _described(compared) for compared in found}
        left_out = list(comparison.left_out)
        print_json({"capture_id": one, "against": against, "equal": equal, "left_out": left_out, "tables": tables})
        return int(not equal)
    for compared in found:
        _show(compared, against)
    if comparison.left_out:
        stderr.print(f"left out, not both have computed it: {', '.join(comparison.left_out)}")
    stdout.print("equal" if equal else "not equal")
    return int(not equal)


def _show(compared: "Compared", against: str) -> None:
    from rederive.cli.output import print_table, stdout

    stdout.print(
        f"{compared.table}: {compared.both:,} rows on both sides, {compared.differing:,} of them differ; "
        f"{compared.only_one:,} only here, {compared.only_other:,} only {'there' if against != 'served' else 'served'}",
        markup=False,
    )
    if compared.equal:
        return
    if compared.columns:
        headings = ["column", "rows", "from NULL", "to NULL", "median", "p99", "largest", "at", "largest share"]
        rows = [(name, *_figures(one)) for name, one in compared.columns.items()]
        print_table("Columns that differ", headings, rows, left=(0, 7))
    days = [(day or "unknown", rows, differ) for day, rows, differ in compared.days if differ]
    print_table("By day", ["day", "rows", "differ"], days)
    if compared.examples:
        shown = [
            (",".join(one.key), name or "(only on one side)", *values)
            for one in compared.examples
            for name, values in (one.values or {"": (None, None)}).items()
        ]
        print_table("Examples", ["key", "column", "here", "there"], shown, left=(0, 1, 2, 3))


def _figures(one: "Differing") -> tuple[object, ...]:
    largest = (f"{one.absolute.difference:g}", ",".join(one.absolute.key)) if one.absolute else ("", "")
    share = f"{100 * one.relative.difference:.4g}%" if one.relative else ""
    middle = [f"{one.absolute_quantiles[name]:.3g}" if one.absolute_quantiles else "" for name in ("p50", "p99")]
    return one.rows, one.appears, one.vanishes, *middle, *largest, share


def _described(compared: "Compared") -> dict[str, Any]:
    from dataclasses import asdict

    named = asdict(compared)
    for name, one in compared.columns.items():
        of_column = named["columns"][name]
        for size in ("absolute", "relative"):
            largest = getattr(one, size)
            of_column[size] = None if largest is None else largest._asdict()
        of_column["spread"] = [{"sign": sign, "power_of_ten": power, "rows": rows} for sign, power, rows in one.spread]
    named["days"] = [{"day": day, "rows": rows, "differ": differ} for day, rows, differ in compared.days]
    named["examples"] = [example._asdict() for example in compared.examples]
    return {**named, "equal": compared.equal}
