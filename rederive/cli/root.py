"""The root of the command line: which commands there are, and of their modules those that a command needs.

`rederive --help` reads this table and imports none of them.
"""

import inspect
import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rederive import domains
from schemas.domain import Command, Domain, load
from schemas.errors import RederiveError

if TYPE_CHECKING:
    import cyclopts

log = logging.getLogger("rederive.main")

HELP = """Replay stored raw payloads through Kafka, recompute the rows derived from them, merge them into Postgres.

Data goes to stdout, logs to stderr. Exit: 0 done, 1 finished with errors, 2 wrong usage, 130 interrupted and safe to \
start again."""

COMMANDS = {
    "apply": Command(
        "rederive.cli.replay:apply",
        "Run just what a plan says. A plan that no longer fits what is stored is refused, and nothing is sent.",
    ),
    "captures": Command(
        "rederive.cli.captures:captures", "Captures: one per run. Everything a run wrote names its capture."
    ),
    "compute": Command(
        "rederive.cli.compute:compute",
        "Compute derived rows from JSON Lines on stdin to JSON Lines on stdout; no services are needed.",
    ),
    "config": Command("rederive.cli.config:config", "Settings: each with its value, and where that comes from."),
    "dashboard": Command(
        "rederive.cli.dashboard:dashboard",
        "Serve pages and the HTTP API, read only unless --actions is said, until stopped: SIGTERM or Ctrl+C "
        "(exit 130).",
    ),
    "demo": Command(
        "rederive.cli.program:demo",
        "Do the main job on real input with fresh embedded services, and stop them: nothing else is needed.",
    ),
    "dlq": Command(
        "rederive.cli.dlq:dlq", "Dead letters: records of which nothing could be made, or that Postgres refused."
    ),
    "doctor": Command(
        "rederive.cli.doctor:doctor",
        "Look at services, topics, tables, permissions, disk, clock, credentials and libraries; say what mends them.",
    ),
    "explain": Command(
        "rederive.cli.explain:explain",
        "Explain a stored value: what wrote it, from which record and inputs, computed again, and its rivals.",
    ),
    "gaps": Command(
        "rederive.cli.gaps:gaps",
        "List what is missing of a domain: a calendar, totals, and the command that fills each kind of gap.",
    ),
    "live": Command(
        "rederive.cli.live:live",
        "Derive what arrives as it arrives, until stopped: producers, agents and sinks are kept at work.",
    ),
    "local": Command("rederive.cli.local:local", "The embedded Kafka and Postgres under REDERIVE_HOME (.rederive)."),
    "logs": Command(
        "rederive.cli.program:logs",
        "Show the log of a run: its producer, agents and sinks. Which file that is stands on stderr.",
    ),
    "migrate": Command(
        "rederive.cli.program:migrate",
        "Make the tables, or bring existing ones up to date. Tables that a domain has are adopted; "
        "no value is touched.",
    ),
    "notify": Command("rederive.cli.notify:notify", "Notifications: who is told of runs and of trouble with live."),
    "offsets": Command(
        "rederive.cli.offsets:offsets", "Where consumer groups stand on their topics, and putting them elsewhere."
    ),
    "plan": Command(
        "rederive.cli.replay:plan", "Print a replay as a plan (JSON on stdout) and do nothing; `apply` runs it."
    ),
    "replay": Command("rederive.cli.replay:replay", "Read stored payloads again, recompute their rows, merge them."),
    "replay-topic": Command(
        "rederive.cli.replay:replay_topic", "Recompute everything that a domain's log holds, after a bug fix."
    ),
    "report": Command(
        "rederive.cli.report:report",
        "Reports on the tables of all domains: figures on stdout, nothing is changed.",
    ),
    "status": Command(
        "rederive.cli.program:status",
        "Show services, unfinished captures, how far and how fast each lane is, and what is wrong.",
    ),
    "topics": Command(
        "rederive.cli.topics:topics", "A domain's topics in Kafka: replays make what they need by themselves."
    ),
    "wait": Command(
        "rederive.cli.wait:wait",
        "Wait until a row, everything until a moment, or a whole capture is visible in the tables.",
    ),
    "worker": Command("rederive.cli.worker:worker", "One agent or sink process of a lane (replays start their own)."),
}
"""The program's own commands. The sentences are those of the commands themselves (tests/test_main.py)."""

_SHARED = ("replay", "plan", "report")
"""Commands below which domains have theirs."""

_OPTIONS = (("--help (-h)", "Display this message and exit."), ("--version", "Display application version."))


def asks_for_help(words: Sequence[str]) -> bool:
    """Whether the words ask for nothing but what `help_text` says."""
    return not words or list(words) in (["--help"], ["-h"])


def help_text() -> str:
    """What `rederive --help` prints, as wide as the terminal is."""
    import shutil
    import textwrap

    width = shutil.get_terminal_size().columns
    own = {name: command.summary for name, command in COMMANDS.items()}
    added = {
        words: command.summary
        for domain in domains.usable()
        for words, command in domain.commands.items()
        if " " not in words
    }
    listed = [*sorted((own | added).items()), *_OPTIONS]
    column = max(len(name) for name, _ in listed) + 4
    paragraphs = ["Usage: rederive COMMAND", *HELP.split("\n\n"), "Commands:"]
    lines = ["\n\n".join(textwrap.fill(paragraph, width) for paragraph in paragraphs)]
    for name, summary in listed:
        first = f"  {name}".ljust(column)
        lines.append(
            textwrap.fill(summary, max(width, column + 20), initial_indent=first, subsequent_indent=" " * column)
        )
    return "\n".join(lines) + "\n"


def load_commands(words: Sequence[str] | None = None) -> None:
    """Put together the commands that the words may mean, None all of them.

    What a domain lacks of its commands is said in the log.
    """
    from rederive.cli.app import app

    for name, command in COMMANDS.items():
        if name not in app:
            app.command(command.part, name=name)
    first = words[0] if words else None
    if words is not None and first in COMMANDS and first not in _SHARED:
        return
    for domain in _meant(words):
        try:
            _add(app, domain, first)
        except (Exception, SystemExit) as error:
            why = error.why if isinstance(error, RederiveError) else f"{type(error).__name__}: {error}"
            log.warning("%s", domains.broken(domain.name, "used from the command line", why))


def _meant(words: Sequence[str] | None) -> Iterator[Domain]:
    """The domains whose commands the words may mean."""
    if words and words[0] in ("replay", "plan") and words[1:2] and words[1] in domains.names():
        yield domains.find(words[1])
    else:
        yield from domains.usable()


def _made(above: str, name: str, part: Any) -> Any:  # noqa: ANN401 - a function or an app
    """A domain's command, a report with what all reports have."""
    if above != "report" or not inspect.isfunction(part):
        return part
    from rederive.cli.report import exporting

    return exporting(name, part)


def _add(app: "cyclopts.App", domain: Domain, first: str | None) -> None:
    """Add the domain's commands that begin with a word, None all; `replay` and `plan` know generic ones."""
    for words, command in domain.commands.items():
        above, _, name = words.rpartition(" ")
        if first is not None and first in COMMANDS and first != above:
            continue
        node = app[above] if above else app
        if name not in node:
            node.command(_made(above, name, load(command.part)), name=name)
    if first is None or first in _SHARED:
        from rederive.cli.generic import add_commands

        add_commands(domain, first)
