"""Every report can be written to a file or drawn: those of domains from elsewhere, too."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import cyclopts
import polars
import pytest

from rederive.cli.output import print_json, print_table
from rederive.cli.report import Json, exporting
from schemas.errors import Failed, UsageError


class _Day(NamedTuple):
    day: date
    tolls: int
    paid: Decimal | None


@dataclass(frozen=True)
class _Found:
    gates: list[dict[str, Any]]
    taken_at: date
    days: tuple[_Day, ...]
    largest: int = 2**64


_DAYS = tuple(_Day(date(2026, 2, 1) + timedelta(n), n * n, Decimal("0.10") * n if n else None) for n in range(60))
_GATES: list[dict[str, Any]] = [
    {"gate": "<b>north</b> $x$", "passed": 12, "share": 0.25, "where": {"lat": 1.5, "gate": "n"}, "tags": ["a", "b"]},
    {"gate": 'south, "old"', "passed": None, "share": 1, "where": {"lat": None, "gate": "s"}, "tags": []},
]
_FOUND = _Found(_GATES, date(2026, 2, 6), _DAYS)


def tolls(gate: str, /, *, limit: int = 3, json: Json = False) -> int:
    """Show the tolls of a gate."""
    print_json(_FOUND) if json else print_table(f"{gate} {limit}", ["gate"], [["n"]])
    return 7


def _said(command: Callable[..., Any], *words: str) -> Any:
    app = cyclopts.App(name="report")
    app.command(exporting("tolls", command), name="tolls")
    return app(["tolls", *words], exit_on_error=False, print_error=False, result_action="return_value")


def test_a_report_s_tables_are_written_with_their_types(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert _said(tolls, "n", "--out", str(tmp_path / "t.parquet")) == 7
    assert _said(tolls, "n", "--out", str(tmp_path / "t.csv")) == 7
    out, err = capfd.readouterr()
    assert out == ""
    assert re.findall(r"wrote \S+/(\S+)", err)[:3] == ["t.parquet", "t-days.parquet", "t-report.parquet"]

    gates = polars.read_parquet(tmp_path / "t.parquet")
    assert gates.to_dicts() == [
        {"gate": "<b>north</b> $x$", "passed": 12, "share": 0.25, "lat": 1.5, "where.gate": "n", "tags": '["a","b"]'},
        {"gate": 'south, "old"', "passed": None, "share": 1.0, "lat": None, "where.gate": "s", "tags": "[]"},
    ]
    days = polars.read_parquet(tmp_path / "t-days.parquet")
    assert days.rows() == list(_DAYS)
    assert polars.read_parquet(tmp_path / "t-report.parquet").row(0) == (date(2026, 2, 6), 2**64)
    assert polars.read_csv(tmp_path / "t.csv").equals(gates, null_equal=True)
    assert not list(tmp_path.glob(".*"))


class _Texts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not {"src", "onload"} & {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_a_report_is_drawn_and_nothing_stored_is_taken_for_markup(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    svg, page = tmp_path / "t.svg", tmp_path / "t.html"
    for file in (svg, page):
        _said(tolls, "n", "--out", str(file))
    drawn = "".join(ElementTree.fromstring(svg.read_text()).itertext())
    assert "<b>north</b> $x$" in drawn
    assert "share" in drawn
    again = svg.read_text()
    _said(tolls, "n", "--out", str(svg))
    assert svg.read_text() == again

    seen = _Texts()
    seen.feed(page.read_text())
    assert "<b>north</b> $x$" in seen.texts
    assert "b" not in seen.tags
    assert "script" not in seen.tags
    assert seen.texts.count("2026-02-01") == 1
    assert "svg" in seen.tags

    def weeks(*, json: Json = False) -> None:
        print_json({"days": _DAYS} if json else None)

    capsys.readouterr()
    _said(weeks, "--plot")
    lines = capsys.readouterr().out
    assert "2026-02-01" in lines
    assert "the first 40 of 60 rows" in lines
    assert "\x1b" not in lines


def test_bars_are_as_long_as_their_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    def gates(*, json: Json = False) -> None:
        print_json([{"gate": "a\x1b[2J", "n": 8}, {"gate": "b", "n": 2}, {"gate": "b", "n": 0}] if json else None)

    _said(gates, "--plot")
    text = capsys.readouterr().out
    lengths = {line.partition("┤")[0].strip(): line.count("█") for line in text.splitlines() if "┤" in line}
    assert list(lengths) == ["a\\x1b[2J", "b", "b (2)"]
    assert lengths["a\\x1b[2J"] == pytest.approx(4 * lengths["b"], abs=4)
    assert lengths["b (2)"] == 0


def test_a_report_without_json_gives_its_tables_and_one_without_tables_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def plain() -> None:
        print_table("Gates", ["gate", "passed"], [["north", 3], ["south", None]])

    _said(plain, "--out", str(tmp_path / "g.csv"))
    assert (tmp_path / "g.csv").read_text() == "gate,passed\nnorth,3\nsouth,\n"

    def silent() -> None: ...

    with pytest.raises(Failed, match="gives no figures"):
        _said(silent, "--plot")

    def nothing(*, json: Json = False) -> None:
        print_json([] if json else None)

    for name in ("n.csv", "n.parquet", "n.svg", "n.html"):
        _said(nothing, "--out", str(tmp_path / name))
        assert (tmp_path / name).exists()
    capsys.readouterr()
    _said(nothing, "--plot")
    assert "there are no numbers to draw" in capsys.readouterr().out


def test_what_can_t_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(cyclopts.ValidationError, match="ends in one of"):
        _said(tolls, "n", "--out", str(tmp_path / "t.xlsx"))
    with pytest.raises(Failed, match="can't be written") as refused:
        _said(tolls, "n", "--out", str(tmp_path / "nowhere" / "t.csv"))
    assert refused.value.exit_code == 1
    with pytest.raises(UsageError, match="don't go together"):
        _said(tolls, "n", "--out", str(tmp_path / "t.csv"), "--json")

    def own(*, out: str) -> str:
        return out

    assert _said(own, "--out", "elsewhere") == "elsewhere"
