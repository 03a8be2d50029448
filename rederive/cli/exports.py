"""A report's figures in a file: CSV, Parquet, SVG or one HTML page, by the file's ending."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import Failed

if TYPE_CHECKING:
    import polars

ENDINGS = (".csv", ".parquet", ".svg", ".html")


def export(file: Path, title: str, tables: "Mapping[str, polars.DataFrame]") -> list[Path]:
    """Write the file, whole or not at all; of several tables in CSV or Parquet, the others beside it. Return the files.

    The first table goes into the file itself, another one into FILE-NAME. Failed when that can't be done.
    """
    if file.suffix == ".svg":
        from rederive.cli.charts import svg

        drawn = svg(title, tables)
        return [_written(file, lambda part: part.write_text(drawn))]
    if file.suffix == ".html":
        page = _page(title, tables)
        return [_written(file, lambda part: part.write_text(page))]
    names = {name: file if number == 0 else _beside(file, name) for number, name in enumerate(tables)}
    return [_written(names[name], _writer(file.suffix, table)) for name, table in tables.items()]


def _beside(file: Path, name: str) -> Path:
    return file.with_name(f"{file.stem}-{''.join(c if c.isalnum() or c in '-_.' else '_' for c in name)}{file.suffix}")


def _writer(ending: str, table: "polars.DataFrame") -> Callable[[Path], object]:
    return table.write_parquet if ending == ".parquet" else table.write_csv


def _written(file: Path, write: Callable[[Path], object]) -> Path:
    part = file.with_name(f".{file.name}.part")
    try:
        write(part)
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        mend = "name a file in a folder that is there and can be written to"
        raise Failed(f"the report can't be written to {file}", why=error.strerror or str(error), mend=mend) from error
    return file


def _page(title: str, tables: "Mapping[str, polars.DataFrame]") -> str:
    from datetime import UTC, datetime
    from html import escape

    from rederive.cli.charts import svg
    from rederive.cli.page import document, table, value

    drawn = svg(title, tables)
    parts = [
        f"<p>{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC</p>",
        f'<div class="chart">{drawn[drawn.index("<svg") :]}</div>',
    ]
    for name, frame in tables.items():
        rows = [[value(cell) for cell in row] for row in frame.iter_rows()]
        parts += [f"<h2>{escape(name)}</h2>", table([escape(one) for one in frame.columns], rows)]
    return document(title, parts)
