"""Domains are found by entry points, each loads what is its own only, and one that can't be loaded is no one's harm."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint, PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import rederive
import schemas.domain
from rederive import domains
from rederive.database import connect
from rederive.settings import Settings
from schemas.domain import Domain, load
from schemas.errors import Failed, UsageError
from schemas.table import Column, Mode, Table
from tests.program import ROOT
from tests.program import rederive as run

SHIPPED = ("betfair", "finra", "racing")


@pytest.fixture
def anew() -> Iterator[None]:
    """What has been found is forgotten before and after."""
    for found in (domains._offered, domains._loaded, domains.find):
        found.cache_clear()
    yield
    for found in (domains._offered, domains._loaded, domains.find):
        found.cache_clear()


@pytest.mark.usefixtures("anew")
def test_a_checkout_has_its_domains_without_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(domains, "distribution", missing)
    monkeypatch.setattr(domains, "entry_points", lambda **_: ())
    assert domains.names() == SHIPPED
    assert tuple(domain.name for domain in domains.shipped()) == SHIPPED
    assert domains.usable() == domains.shipped()


@pytest.mark.parametrize(
    ("name", "mend"),
    [("betfiar", "did you mean betfair?"), ("xyz", "`rederive replay --help` shows what there is")],
)
def test_an_unknown_domain_is_told_which_there_are(name: str, mend: str) -> None:
    for asked in (domains.known, domains.find):
        with pytest.raises(UsageError) as refused:
            asked(name)
        known = ", ".join(domains.names())
        assert str(refused.value) == f"there is no domain {name}\n  why: known are {known}\n  do:  {mend}"


def _python(
    *words: str, ahead: Path | None = None, home: Path = Path("/nonexistent")
) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([*([str(ahead)] if ahead else []), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path, "REDERIVE_HOME": str(home)}
    environment.pop("REDERIVE_LOG_LEVEL", None)
    return subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


_MADE = """
from schemas.domain import Command, Domain
raise_ = {raise_!r}
if raise_:
    raise RuntimeError(raise_)
MADE = Domain(name={name!r}, derivation_version=1, tables=(), commands={commands})
"""


@pytest.fixture
def offered(tmp_path: Path) -> Path:
    """A folder of modules with a distribution whose domains can't be used, each for a reason of its own."""
    folder = tmp_path / "meters-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: meters\nVersion: 1.0\n")
    names = {
        "breaks": ("breaks", {}, "a part is missing"),
        "misnamed": ("another", {}, ""),
        "commandless": ("commandless", {"report lost": ("meters_nowhere:lost",)}, ""),
        "leaving": ("leaving", {"report left": ("meters_leaving_commands:left",)}, ""),
        "betfair": ("betfair", {}, "this is none"),
    }
    (tmp_path / "meters_leaving_commands.py").write_text("raise SystemExit(3)")
    (tmp_path / "meters_raising.py").write_text("def process(value, columns):\n    return {}['kwh']\n")
    (tmp_path / "meters_raises.py").write_text(
        "from schemas.domain import Domain\n"
        "MADE = Domain(name='raises', derivation_version=1, tables=(), process='meters_raising:process')\n"
    )
    for name, (said, commands, raise_) in names.items():
        made = ", ".join(f"{words!r}: Command{parts!r}" for words, parts in commands.items())
        text = _MADE.format(name=said, commands=f"{{{made}}}", raise_=raise_)
        (tmp_path / f"meters_{name}.py").write_text(text)
    points = [f"{name} = meters_{name}:MADE" for name in (*names, "raises")]
    (folder / "entry_points.txt").write_text("\n".join(["[rederive.domains]", *points, ""]))
    return tmp_path


@pytest.mark.services
def test_tables_that_can_not_be_made_are_said_and_the_others_are_made(
    offered: Path, settings: Settings, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_PYTHONPATH", str(offered))
    points = offered / "meters-1.0.dist-info" / "entry_points.txt"
    lines = ["[rederive.domains]"]
    tables = {
        "wrong": ("wrong_rows", "floot8"),
        "taking": ("market_derived_metrics", "float8"),
        "right": ("a", "float8"),
    }
    for name, (table, type_) in tables.items():
        (offered / f"meters_{name}.py").write_text(
            "from rederive import Column, Domain, Mode, Table\n"
            f"MADE = Domain(name={name!r}, derivation_version=1, tables=(Table(name={table!r}, "
            f"key=(Column('capture_id', 'text'),), attributes=(), values=(Column('kwh', {type_!r}),), observed='at', "
            "policy=Mode.INSERT),))\n"
        )
        lines.append(f"{name} = meters_{name}:MADE")
    points.write_text("\n".join([*lines, ""]))
    done = run(settings, "migrate", code=1)
    for said in (
        'the domain wrong can\'t be migrated\n  why: type "floot8" does not exist',
        "the domain taking can't be used\n  why: meters_taking:MADE: market_derived_metrics is a table of betfair",
    ):
        assert said in done.stderr
    assert done.stderr.count("offers it: meters") == 2
    with connect(database_url, application="tests") as connection:
        there = connection.execute("SELECT to_regclass('a'), to_regclass('wrong_rows'), to_regclass('core_manifest')")
        assert there.fetchone() == ("a", None, "core_manifest")


def test_domains_that_are_broken_are_said_and_harm_no_one(offered: Path) -> None:
    helped = _python("-m", "rederive", "report", "--help", ahead=offered)
    assert helped.returncode == 0, helped.stderr
    assert "null-audit" in helped.stdout
    mend = "do:  mend or remove the distribution that offers it: meters"
    for said in (
        "the domain breaks can't be loaded\n  why: meters_breaks:MADE: RuntimeError: a part is missing",
        "the domain misnamed can't be used\n  why: meters_misnamed:MADE is no Domain of that name",
        "the domain commandless can't be used from the command line\n  why: ModuleNotFoundError: No module",
        "the domain leaving can't be used from the command line\n  why: SystemExit: 3",
        "the domain betfair of the distribution meters is left out: rederive has one of that name",
    ):
        assert said in helped.stderr
    assert helped.stderr.count(mend) == 4
    assert "Traceback" not in helped.stderr

    used = _python("-m", "rederive", "compute", "breaks", ahead=offered)
    assert used.returncode == 1
    assert used.stderr.endswith(f"why: meters_breaks:MADE: RuntimeError: a part is missing\n  {mend}\n")
    for command in ("replay", "plan"):
        used = _python("-m", "rederive", command, "raises", ahead=offered)
        assert used.returncode == 2
        why, mend = "its Domain names none in `sources`", "`rederive replay-topic raises` replays its log"
        assert used.stderr.endswith(f"\nraises has no source\n  why: {why}\n  do:  {mend}\n")
    used = _python("-m", "rederive", "compute", "raises", ahead=offered, home=offered / "home")
    assert used.returncode == 1
    said = "unexpected KeyError in meters_raising: 'kwh'\n  do:  report it to those who made the distribution meters,"
    assert said in used.stderr


_COLUMN = Column("capture_id", "text")
_TABLE = Table(
    name="made", key=(_COLUMN,), attributes=(), values=(Column("kwh", "float8"),), observed="at", policy=Mode.INSERT
)
_MADE_DOMAIN = Domain(
    name="made", derivation_version=1, tables=(_TABLE,), process="made:process", sources={"table": "made:Table"}
)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"name": "a b"}, "its name 'a b' can't be part of a topic's"),
        ({"derivation_version": "1"}, "derivation_version is '1', no positive number"),
        ({"tables": [_TABLE]}, "tables is no tuple of Tables"),
        ({"tables": (_TABLE, _TABLE)}, "two of its tables have one name"),
        ({"tables": ()}, "it has sources, and no tables or no process"),
        ({"process": len}, "process is <built-in function len>, not 'module:attribute'"),
        ({"sources": {"table": "made.Table"}}, "source table is 'made.Table', not 'module:attribute'"),
        ({"scopes": {"some": ("kwh",)}}, "its scopes lack 'all'"),
        ({"stages": {"file": ("mode",)}}, "its stage file writes mode, which is none of its tables"),
        ({"changes": {2: ("kwh",)}}, "changes says version 2, which is none of 2 to 1"),
        ({"derivation_version": 2, "changes": {2: ("volts",)}}, "changes of version 2 names volts: a tuple of"),
        ({"derivation_version": 2, "changes": {2: "kwh"}}, "changes of version 2 names 'kwh': a tuple of"),
        (
            {"tables": (replace(_TABLE, policy=cast("Mode", "insert")),)},
            "table made: its policy is 'insert', none of Mode.FILL, ",
        ),
        ({"tables": (replace(_TABLE, key=()),)}, "table made: its key is empty"),
        (
            {"tables": (replace(_TABLE, key=cast("tuple[Column, ...]", ("capture_id",))),)},
            "table made: its key is empty, or a column of it is no",
        ),
        ({"tables": (replace(_TABLE, name="Made"),)}, "'Made' is no name of Postgres"),
        ({"tables": (replace(_TABLE, values=(_COLUMN,)),)}, "table made: two of its columns have one name"),
        ({"tables": (replace(_TABLE, groups=(("kwh", "volts"),)),)}, "a group names volts, which is none of its"),
        ({"tables": (replace(_TABLE, key=(Column("at", "date"),)),)}, "its rows are inserted, and its key has no"),
        (
            {"tables": (replace(_TABLE, policy=Mode.FILL, values=(Column("kwh", "float8", (1,)),)),)},
            "table made: a column is owned by a source beyond its 1",
        ),
    ],
)
def test_what_can_not_be_in_a_domain_is_said(change: dict[str, Any], why: str) -> None:
    assert list(domains._faults(_MADE_DOMAIN)) == []
    first, *_ = domains._faults(replace(_MADE_DOMAIN, **change))
    assert why in first


@pytest.mark.usefixtures("anew")
def test_a_domain_with_a_table_of_another_one_can_not_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes first, the shipped ones before all, has the table."""

    def made(name: str, *tables: str) -> Domain:
        domain = replace(_MADE_DOMAIN, name=name, tables=tuple(replace(_TABLE, name=table) for table in tables))
        monkeypatch.setattr(_OFFERED, name, domain, raising=False)
        return domain

    first = made("first", "rows")
    made("reading", "market_book_snapshots")
    made("second", "own", "rows")
    third = made("third", "own")
    offered = {name: EntryPoint(name, f"{__name__}:_OFFERED.{name}", schemas.domain.GROUP) for name in vars(_OFFERED)}
    everybody = domains._offered() | offered
    monkeypatch.setattr(domains, "_offered", lambda: everybody)
    monkeypatch.setattr(domains, "_is_shipped", lambda one: one.name in SHIPPED)
    for name, why in (
        ("reading", "market_book_snapshots is a table of betfair"),
        ("second", "rows is a table of first"),
    ):
        with pytest.raises(Failed) as failed:
            domains.find(name)
        assert str(failed.value).startswith(
            f"the domain {name} can't be used\n  why: {__name__}:_OFFERED.{name}: {why}"
        )
    assert domains.usable() == [*domains.shipped(), first, third]


_OFFERED = SimpleNamespace()


def test_formulas_are_of_the_version_that_changed_their_columns_last() -> None:
    columns = tuple(Column(name, "float8") for name in ("kwh", "cost", "volts", "amps"))
    table = replace(_TABLE, values=columns, groups=(("volts", "amps"),))
    made = replace(_MADE_DOMAIN, tables=(table,), derivation_version=4, scopes={"all": (), "money": ("cost",)})
    assert made.formulas(table) == {4: ("kwh", "cost", "volts", "amps")}
    changes = {2: ("kwh", "money"), 3: ("made.amps",), 4: ("cost",)}
    assert replace(made, changes=changes).formulas(table) == {2: ("kwh",), 4: ("cost",), 3: ("volts", "amps")}
    assert replace(made, changes={4: ("money",)}).formulas(table) == {3: ("kwh", "volts", "amps"), 4: ("cost",)}
    assert set(replace(made, changes={4: ("all",)}).formulas(table)) == {4}
    assert replace(made, changes={4: ("cost",)}).formulas(replace(table, values=())) == {4: ()}


def test_shipped_domains_have_no_faults() -> None:
    assert [why for domain in domains.shipped() for why in domains._faults(domain)] == []


def test_a_part_that_can_not_be_loaded_is_said_with_its_distribution() -> None:
    for part, why in (
        ("json:nothing", "AttributeError: module 'json' has no attribute 'nothing'"),
        ("pydantic.nowhere:Source", "ModuleNotFoundError: No module named 'pydantic.nowhere'"),
    ):
        with pytest.raises(Failed) as failed:
            load(part)
        assert str(failed.value).startswith(f"the part {part} of a domain can't be loaded\n  why: {why}")
    assert failed.value.mend.endswith("offers it: pydantic")


def test_a_part_in_no_package_is_said_with_the_distribution_of_its_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks() -> Domain:
        raise SystemExit

    domain = replace(_MADE_DOMAIN, process="nomod:process", sources={}, reports={"r": "nowhere:rows"})
    offered = [(breaks, "others"), (lambda: domain, "made"), (lambda: _MADE_DOMAIN, "others")]
    points = [SimpleNamespace(load=made, dist=SimpleNamespace(name=name)) for made, name in offered]
    monkeypatch.setattr(schemas.domain, "entry_points", lambda **_: points)
    for part in ("nomod:process", "nowhere:rows"):
        with pytest.raises(Failed) as failed:
            load(part)
        assert failed.value.mend.endswith("offers it: made")


def test_every_public_name_is_there() -> None:
    names = rederive.__all__
    assert all(callable(getattr(rederive, name)) for name in names)
    assert len(names) == len(set(names)) > 30
    assert dir(rederive) == names
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        rederive.nothing  # noqa: B018


_LOADED = """
import sys
from rederive import domains
from schemas.domain import load
import rederive.worker
rederive.worker._get_ready("agent", {name!r})
from pathlib import Path
from processors.runtime import AgentConfig, make_app
from schemas.lane import Lane, LaneName
lane, kafka = Lane({name!r}, LaneName.REPLAY), {{"bootstrap.servers": "127.0.0.1:1"}}
assert make_app(AgentConfig(lane, "one", 1, kafka, Path("nowhere"))).transport
load(domains.find({name!r}).process)
print(*sorted(sys.modules))
"""


@pytest.mark.parametrize("name", SHIPPED)
def test_an_agent_loads_its_own_domain_only(name: str) -> None:
    done = _python("-c", _LOADED.format(name=name))
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert f"processors.{name}.process" in loaded
    others = {f"{layer}.{other}" for other in SHIPPED if other != name for layer in ("schemas", "processors")}
    heavy = {"psycopg", "aiohttp", "store", "sinks", "pydantic_settings", "cyclopts", "rich"}
    heavy |= {"polars"} if name != "finra" else set()
    assert not loaded & (others | heavy)


_COMMANDS = ("commands", "report_commands")
_HEAVY = {"psycopg", "confluent_kafka", "polars", "faust", "producers", "processors"}


def test_commands_are_put_together_without_what_is_heavy() -> None:
    done = _python("-c", "import sys, rederive.cli.root as root; root.load_commands(); print(*sys.modules)")
    assert done.returncode == 0, done.stderr
    assert not set(done.stdout.split()) & _HEAVY


def _imported(*words: str) -> set[str]:
    program = "import atexit, sys, rederive.__main__ as m; atexit.register(lambda: print(*sys.modules)); m.main()"
    done = _python("-c", program, *words)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_help_is_printed_without_what_parses_commands() -> None:
    assert not _imported("--help") & {*_HEAVY, "cyclopts", "rich", "pydantic", "rederive.betfair.commands"}


def test_a_command_of_a_domain_is_found_without_the_others() -> None:
    imported = _imported("replay", "racing", "--help")
    assert "rederive.racing.commands" in imported
    others = {f"rederive.{domain}.{module}" for domain in ("betfair", "finra") for module in _COMMANDS}
    assert not imported & {*_HEAVY, *others, *(f"schemas.{domain}.tables" for domain in ("betfair", "finra"))}
