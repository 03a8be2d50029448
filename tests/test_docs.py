"""The documentation says what the program does: commands, settings, headers, links."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import cyclopts
import pytest

from rederive.__main__ import load_commands
from rederive.cli.app import app
from rederive.settings import PREFIX, Settings
from tests.program import ROOT

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
_OPERATORS = {"|", "||", "&", "&&", ";", "<", ">", ">>", "<(", "(", ")"}
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
    return None if words == ["test"] else words


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
    for page in PAGES:
        assert set(re.findall(r"REDERIVE_[A-Z_]*[A-Z]", page.read_text())) <= settings | of_compose, page.name


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
