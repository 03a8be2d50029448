"""The documentation says what the program does: commands, settings, headers, links."""

import gzip
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cyclopts
import orjson
import psycopg
import pytest

from producers.racing.settings import LIVE_PREFIX, LiveSettings
from producers.topics import partitions_of, watermarks
from rederive import domains
from rederive.cli.app import app
from rederive.cli.root import load_commands
from rederive.migrate import migrate
from rederive.settings import PREFIX, Settings
from schemas.finra.tables import VENUE_SHARE
from schemas.lane import Lane, LaneName
from tests.finra.stored import Run
from tests.finra.texts import AT, EXAMPLE_A, WEEK, content
from tests.pages import fenced, statements
from tests.program import ROOT, environment, last_object, rederive

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
_OPERATORS = {"|", "||", "&", "&&", ";", "<", ">", ">>", "<(", "(", ")"}
_OF_THE_CHECKOUT = ("test", "bench", "environment")
"""Words of `./run` that are none of `rederive`."""

_LINK = re.compile(r"\[[^]]*\]\(([^)\s]+)\)")
_SPAN = re.compile(r"`([^`\n]+)`")
_HEADER = re.compile(r"\brederive-(?!\d)[a-z]+(?:-[a-z]+)*")


def blocks(text: str) -> Iterator[str]:
    """Lines that are code: fenced or indented by four."""
    fenced = False
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield line.strip()


def command_words(code: str) -> list[str] | None:
    """The words after `rederive` of a command line, up to what belongs to the shell; None when it is none."""
    found = re.match(r"(?:\$ )?(?:.*\| )?(?:docker compose run --rm )?(?:rederive|\./run) (?=[a-z-])(.*)", code)
    if found is None or "…" in code:
        return None
    lexer = shlex.shlex(found[1], posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = []
    for word in lexer:
        if word in _OPERATORS:
            break
        words.append(word)
    return None if words[0] in _OF_THE_CHECKOUT else words


def quoted(page: Path) -> Iterator[tuple[str, bool]]:
    """Every command line of a page, and whether it stands in a block, so that it must be whole."""
    text = page.read_text()
    for line in blocks(text):
        yield line, True
    for span in _SPAN.findall(text):
        yield span, False


LINES = sorted(
    {
        (page.name, shlex.join(words), whole)
        for page in PAGES
        for code, whole in quoted(page)
        if (words := command_words(code))
    }
)


@pytest.fixture(scope="module", autouse=True)
def _commands() -> None:
    load_commands()


def test_commands_are_found() -> None:
    assert len(LINES) > 60
    assert ("README.md", "replay betfair --from 2026-02-06 --to 2026-02-06 --columns tier-a", True) in LINES


@pytest.mark.parametrize(("page", "line", "whole"), LINES)
def test_quoted_commands_exist(page: str, line: str, whole: bool) -> None:
    words = shlex.split(re.sub(r"\S+(?:\|\S+)+", lambda choice: choice[0].split("|")[0], line))
    try:
        app.parse_args(words, exit_on_error=False, print_error=False)
    except cyclopts.MissingArgumentError:
        assert not whole, f"{page}: rederive {line} lacks an argument"
    except cyclopts.CycloptsError as error:
        pytest.fail(f"{page}: rederive {line}: {error}")


def test_every_command_is_documented() -> None:
    said = (ROOT / "docs/commands.md").read_text()
    for name in app.resolved_commands():
        if not name.startswith("-"):
            assert f"rederive {name}" in said
            for part in app[name].resolved_commands():
                if not part.startswith("-"):
                    assert re.search(rf"rederive {name} {part}\b|`{part}`", said), f"rederive {name} {part}"


def _commands_below(node: cyclopts.App, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], cyclopts.App]]:
    for name in node.resolved_commands():
        if not name.startswith("-"):
            yield (*words, name), node[name]
            yield from _commands_below(node[name], (*words, name))


_OF_PAGES: dict[tuple[str, ...], str] = {
    ("replay", "racing"): "racing",
    ("plan", "racing"): "racing",
    ("replay", "finra"): "finra",
    ("plan", "finra"): "finra",
}
"""Commands whose options stand on the page of their domain."""


def test_every_option_is_documented() -> None:
    for words, command in _commands_below(app):
        if command.default_command is None:
            continue
        name = _OF_PAGES.get(words, "commands")
        page = (ROOT / f"docs/{name}.md").read_text()
        if name == "commands":
            head = next(
                (found for found in re.findall(r"^## (.+)$", page, re.MULTILINE)
                 if f"rederive {words[0]}" in found
                 and (words[0] != "replay" or found.endswith(words[-1]))), None,
            )  # fmt: skip
            assert head is not None, f"no section has rederive {' '.join(words)}"
            page = page.split(f"## {head}\n")[1].split("\n## ")[0]
        for argument in command.assemble_argument_collection(parse_docstring=False):
            long = [one for one in argument.names if one.startswith("--") and not one.startswith("--no-")]
            if long and not argument.field_info.is_positional:
                assert long[0] in page, f"rederive {' '.join(words)} {long[0]} is not in docs/{name}.md"


def test_the_readme_names_each_command_once() -> None:
    table = (ROOT / "README.md").read_text().split("## Commands")[1].split("## ")[0]
    named = [words for cell in re.findall(r"^\| `(rederive [^`]+)`", table, re.MULTILINE)
             if (words := command_words(cell))]  # fmt: skip
    commands = [" ".join(words[: 1 + (app[words[0]].default_command is None)]) for words in named]
    assert sorted(set(commands)) == sorted(commands)
    assert {words[0] for words in named} == {name for name in app.resolved_commands() if not name.startswith("-")}


def test_backup_and_retention_name_the_topics_of_every_domain() -> None:
    operations = (ROOT / "docs/operations.md").read_text()
    records = (ROOT / "docs/records.md").read_text()
    retention, backup = (operations.split(f"## {name}\n")[1].split("\n## ")[0] for name in ("Retention", "Backup"))
    for domain in domains.shipped():
        for lane in [Lane(domain.name, name) for name in domain.kept]:
            for section in (retention, backup):
                assert f"`{lane.raw}`" in section, lane.raw
                assert f"`{lane.dlq}`" in section, lane.dlq
            assert f"<p>{lane.raw}`" in records
    for domain in domains.shipped():
        assert f"`{domain.name}`" in operations.split("## More machines\n")[1].split("\n## ")[0]


@pytest.mark.services
def test_the_example_producer_says_what_is_not_delivered(settings: Settings) -> None:
    page = ROOT / "docs/records.md"
    script, example = fenced(page, "python", "Producer("), fenced(page, "json", "900001")
    log = Lane("betfair", LaneName.LOG, settings.topic_prefix).raw

    def send() -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-c", script, log], input=orjson.dumps(orjson.loads(example)), env=environment(settings),
            capture_output=True, timeout=90, check=False,
        )  # fmt: skip

    missing = send()
    assert missing.returncode == 1
    assert f"{log}: record 900001 is not delivered" in missing.stderr.decode()

    made = last_object(rederive(settings, "topics", "make", "betfair", "--partitions", "2", "--json").stdout)
    topics = made["topics"]
    assert isinstance(topics, dict)
    assert topics[log] == 2
    assert topics == {name: len(partitions_of(settings.kafka_config(), name)) for name in topics}
    there = send()
    assert (there.returncode, there.stderr) == (0, b"")
    assert sum(high for _, high in watermarks(settings.kafka_config(), log).values()) == 1


@pytest.mark.services
def test_the_example_record_s_snapshot_is_stored_by_the_sql_shown(database_url: str) -> None:
    migrate(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        for statement in statements(ROOT / "docs/records.md", "## Writing to the log from outside", "INSERT"):
            connection.execute(statement)
        found = connection.execute(
            """SELECT snapshot_id, snapshot_at = '2026-03-01T12:00:00+00:00', market_id, home_selection_id
               FROM market_book_snapshots JOIN market_event_metadata USING (market_id)"""
        ).fetchall()
    assert found == [(900001, True, "1.100", 11)]


def test_markets_of_the_commands_are_in_the_sample() -> None:
    with gzip.open(ROOT / "samples/betfair/market_event_metadata.jsonl.gz", "rt") as lines:
        stored = {orjson.loads(line)["market_id"] for line in lines}
    said = re.findall(r"report (?:checkpoints|continuity) (1\.\d+)", (ROOT / "docs/commands.md").read_text())
    assert said
    assert set(said) <= stored


@pytest.mark.services
def test_the_playbook_s_sql_as_it_is_shown_works(database_url: str) -> None:
    shown = statements(ROOT / "docs/finra.md", "## Coming from", "SELECT")
    migrate(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        good = Run.made(connection).ingest(content(EXAMPLE_A), WEEK, "OTC", AT)
        bad = Run.made(connection).ingest(content(EXAMPLE_A), WEEK, "OTC", AT.replace(hour=23))
        connection.execute(
            f"UPDATE {VENUE_SHARE.name} SET market_share_pct = 2 * market_share_pct WHERE capture_id = %s", [bad]
        )
        counts, shares = [connection.execute(statement).fetchall() for statement in shown]
    assert counts == [(bad, 4), (good, 4)]
    assert [row[1:3] for row in shares] == [("OTC", bad)]


@pytest.mark.parametrize("line", ["replay betfair --nonsense", "captures nonsense", "report spot-check --limit 0"])
def test_a_wrong_command_would_be_seen(line: str) -> None:
    with pytest.raises(cyclopts.CycloptsError):
        app.parse_args(shlex.split(line), exit_on_error=False, print_error=False)


def test_settings_and_their_documentation_agree() -> None:
    settings = {f"{PREFIX}{name}".upper() for name in Settings.model_fields}
    of_compose = set(re.findall(r"\$\{(REDERIVE_\w+)", (ROOT / "docker-compose.yml").read_text()))
    operations = (ROOT / "docs/operations.md").read_text()
    rows = re.findall(r"^\| `(REDERIVE_\w+)` \|", operations, re.MULTILINE)
    assert sorted(rows) == sorted(settings)
    of_racing = {f"{LIVE_PREFIX}{name}".upper() for name in LiveSettings.model_fields}
    racing = (ROOT / "docs/racing.md").read_text()
    assert set(re.findall(r"`(REDERIVE_\w+)` \|", racing)) == of_racing
    for name, field in LiveSettings.model_fields.items():
        if name in ("cards", "results", "missed", "amended"):
            assert f"`{LIVE_PREFIX}{name.upper()}` | `{field.default}`" in racing
    for page in PAGES:
        known = settings | of_compose | of_racing
        assert set(re.findall(r"REDERIVE_[A-Z_]*[A-Z]", page.read_text())) <= known, page.name


def test_headers_and_their_documentation_agree() -> None:
    code = [ROOT / "schemas/wire.py"]
    written = {name for path in code for name in re.findall(r'"(rederive-[a-z-]+)"', path.read_text())}
    said = set(_HEADER.findall((ROOT / "docs/records.md").read_text()))
    assert said == written


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_resolve(page: Path) -> None:
    for link in _LINK.findall(page.read_text()):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.is_file(), f"{page.name}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {link}"
