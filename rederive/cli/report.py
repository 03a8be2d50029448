"""`rederive report`: the reports of all domains; each domain adds its own."""

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import cyclopts
from cyclopts import Parameter

if TYPE_CHECKING:
    import polars

report = cyclopts.App(
    name="report", help="Reports on the tables of all domains: figures on stdout, nothing is changed."
)

Json = Annotated[bool, Parameter(name="--json", negative="", help="One JSON object instead of tables.")]

_ENDINGS = ".csv, .parquet, .svg, .html"


def _known_ending(_: object, file: Path | None) -> None:
    if file is not None and file.suffix not in _ENDINGS.split(", "):
        raise ValueError(f"a file that ends in one of {_ENDINGS} is wanted")


_Out = Annotated[
    Path | None,
    Parameter(
        validator=_known_ending,
        help=f"Write it to this file instead: {_ENDINGS} say how. Further tables stand beside a .csv or .parquet.",
    ),
]
_Plot = Annotated[bool, Parameter(negative="", help="Draw its numbers in the terminal instead of tables.")]


def exporting(name: str, command: Callable[..., Any]) -> Callable[..., Any]:
    """A report's command with `--out` and `--plot` besides its own options, unless it has options of these names.

    Figures are those that it prints as JSON, or else as tables.
    """
    signature = inspect.signature(command)
    if {"out", "plot"} & signature.parameters.keys():
        return command

    @wraps(command)
    def exported(*words: object, out: Path | None = None, plot: bool = False, **options: object) -> object:
        if out is None and not plot:
            return command(*words, **options)
        _check_alone(out, json=bool(options.get("json")))
        code, tables = _figures(command, words, options, knows_json="json" in signature.parameters)
        title = name.replace("-", " ")
        if out is not None:
            from rederive.cli.exports import export
            from rederive.cli.output import stderr

            for file in export(out, title, tables):
                stderr.print(f"wrote {file}", markup=False)
        if plot:
            import sys

            from rederive.cli.charts import terminal
            from rederive.cli.output import stdout

            sys.stdout.write(terminal(title, tables, stdout.width))
        return code

    own = {"out": (_Out, None), "plot": (_Plot, False)}
    added = [
        inspect.Parameter(one, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for one, (kind, default) in own.items()
    ]
    exported.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *added])  # type: ignore[attr-defined]
    exported.__annotations__ = {**command.__annotations__, **{one: kind for one, (kind, _) in own.items()}}
    # Whoever looks for the signature would find the command's own behind it.
    del exported.__wrapped__
    return exported


def _check_alone(out: Path | None, *, json: bool) -> None:
    from schemas.errors import UsageError

    if json:
        word = "--plot" if out is None else "--out"
        raise UsageError(f"--json and {word} don't go together", mend="say one of them")


def _figures(
    command: Callable[..., Any], words: tuple[object, ...], options: dict[str, object], *, knows_json: bool
) -> "tuple[object, dict[str, polars.DataFrame]]":
    """What the command returns, and the tables of what it would have printed. Failed when that is nothing."""
    from rederive.cli.frames import frames
    from rederive.cli.output import keeping
    from schemas.errors import Failed

    with keeping() as kept:
        code = command(*words, **{**options, "json": True} if knows_json else options)
    if kept.documents:
        return code, frames(kept.documents[0])
    found = {title: [dict(zip(headings, row, strict=True)) for row in rows] for title, headings, rows in kept.tables}
    if not found:
        raise Failed("the report gives no figures", why="it prints text only", mend="leave --out and --plot out")
    return code, frames(found)
