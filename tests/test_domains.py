"""Domains are found by entry points, each loads what is its own only, and one that can't be loaded is no one's harm."""

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

import rederive
from rederive import domains
from schemas.errors import UsageError
from tests.program import ROOT

SHIPPED = ("betfair", "finra", "racing")


@pytest.fixture
def anew() -> Iterator[None]:
    """What has been found is forgotten before and after."""
    for found in (domains._offered, domains.find):
        found.cache_clear()
    yield
    for found in (domains._offered, domains.find):
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


def _python(*words: str, ahead: Path | None = None) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([*([str(ahead)] if ahead else []), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path, "REDERIVE_HOME": "/nonexistent"}
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
    }
    for name, (said, commands, raise_) in names.items():
        made = ", ".join(f"{words!r}: Command{parts!r}" for words, parts in commands.items())
        text = _MADE.format(name=said, commands=f"{{{made}}}", raise_=raise_)
        (tmp_path / f"meters_{name}.py").write_text(text)
    points = [f"{name} = meters_{name}:MADE" for name in names]
    (folder / "entry_points.txt").write_text("\n".join(["[rederive.domains]", *points, ""]))
    return tmp_path


def test_domains_that_are_broken_are_said_and_harm_no_one(offered: Path) -> None:
    helped = _python("-m", "rederive", "report", "--help", ahead=offered)
    assert helped.returncode == 0, helped.stderr
    assert "null-audit" in helped.stdout
    mend = "do:  mend or remove the distribution that offers it: meters"
    for said in (
        "the domain breaks can't be loaded\n  why: meters_breaks:MADE: RuntimeError: a part is missing",
        "the domain misnamed can't be used\n  why: meters_misnamed:MADE is no Domain of that name",
        "the domain commandless can't be used from the command line\n  why: ModuleNotFoundError: No module",
    ):
        assert said in helped.stderr
    assert helped.stderr.count(mend) == 3
    assert "Traceback" not in helped.stderr

    used = _python("-m", "rederive", "compute", "breaks", ahead=offered)
    assert used.returncode == 1
    assert used.stderr.endswith(f"why: meters_breaks:MADE: RuntimeError: a part is missing\n  {mend}\n")


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
assert make_app(AgentConfig(lane, "one", kafka, Path("nowhere"))).transport
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
