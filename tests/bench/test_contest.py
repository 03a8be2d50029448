import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench import chart
from bench.contest import US, Contender, contenders, judge, ratios, summary, table, take_turns, write_page
from bench.rows import bare, digest, fill
from bench.watch import Measured, part_of
from rederive.settings import Settings

ROWS = 200


def _ran(name: str, *seconds: float, digests: str = "aaa") -> Contender:
    rounds = [Measured(one, {"postgres": one / 2, "agents": 1.0}, {"agents": 100.0 * one}, b"") for one in seconds]
    return Contender(name, [], rounds, list(digests[: len(seconds)]))


def test_ratios_are_those_within_a_round() -> None:
    us, other = _ran(US, 1.0, 2.0, 4.0), _ran("other", 3.0, 4.0, 4.0)
    assert ratios(us, other) == [3.0, 2.0, 1.0]
    said = summary([us, other], 1_000)["other"]
    assert said == {
        "rows_per_s": 250,
        "least": 250,
        "most": 333,
        "cpu_s_per_million": {"agents": 1000.0, "postgres": 2000.0},
        "peak_mb": {"agents": 400},
        "rederive_is": 2.0,
    }


def test_whose_rows_differ_in_one_round_is_disqualified_by_name() -> None:
    given = [_ran(US, 1.0, 1.0), _ran("quick", 0.1, 0.1, digests="ab"), _ran("other", 2.0, 2.0)]
    judge(given)
    assert [one.wrong for one in given] == ["", "its rows differ from the others'", ""]
    lines = {line.split()[0]: line for line in table(given, 1_000)}
    assert "disqualified" in lines["quick"]
    assert "2.00×" in lines["other"]
    assert set(summary(given, 1_000)["quick"]) == {"disqualified"}


@pytest.mark.parametrize(
    ("command", "part"),
    [
        ("python -m rederive replay betfair", "producer"),
        ("python -m rederive.worker agent betfair", "agents"),
        ("python -m rederive worker sink --domain betfair", "sinks"),
        ("python -m bench.contenders.script_batched range 1 2", "script"),
        ("python -m bench.contenders.stream faust_plain 2", "producer"),
        ("python -m bench.contenders.quixstreams", "agents"),
        ("java -cp jars kafka.Kafka", None),
        ("python -m http.server", None),
    ],
)
def test_processes_have_their_part_by_their_command_line(command: str, part: str | None) -> None:
    assert part_of(command.split()) == part


def test_the_chart_has_bars_as_long_as_their_values() -> None:
    drawn = ET.fromstring(chart.draw({"a & b": 100.0, US: 50.0}, "rows/s", US))
    bars = drawn.findall("{*}rect")
    assert [float(bar.attrib["width"]) / float(bars[0].attrib["width"]) for bar in bars] == [1.0, 0.5]
    assert [bar.attrib["class"] for bar in bars] == ["bar", "marked"]
    assert "a & b" in "".join(drawn.itertext())


def test_figures_take_the_place_of_those_before_and_leave_the_rest_of_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- figures -->\n<!-- end of figures -->\nbelow\n")
    write_page(page, ["old"], "<svg/>")
    write_page(page, ["new"], "<svg>new</svg>")
    assert page.read_text() == "above\n<!-- figures -->\n\n```\nnew\n```\n\n<!-- end of figures -->\nbelow\n"
    assert (tmp_path / "page.svg").read_text() == "<svg>new</svg>"
    page.write_text("no marks")
    with pytest.raises(ValueError, match="no marks"):
        write_page(page, [], "")


@pytest.mark.services
def test_all_contenders_leave_the_same_rows(migrated: str, settings: Settings) -> None:
    fill(migrated, ROWS)
    before = digest(migrated)
    entered = contenders(workers=1)
    take_turns(settings, entered, 1)
    assert {one.name: one.wrong for one in entered} == {one.name: "" for one in entered}
    assert before not in entered[0].digests
    bare(migrated)
    assert digest(migrated) == before
