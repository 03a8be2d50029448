"""The domain: one object that names everything the engine needs to know of somebody's raw payloads and derived rows.

Its parts stand in it as "module:attribute" and are loaded when they are needed, so that an agent imports its own
formulas and nothing else. Domains are found by entry points (docs/domain.md).
"""

import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.metadata import entry_points, packages_distributions
from typing import Any, NamedTuple

from schemas.errors import Failed
from schemas.lane import LaneName
from schemas.table import Mode, Step, Table

GROUP = "rederive.domains"
"""The group of entry points that offer domains."""

Part = str
"""A part of a domain by name: "module:attribute"."""

TABLE, LOG, API = "table", "log", "api"
"""Names that sources have in every domain that has such a source; what comes from an API comes slowly."""


def load(part: Part) -> Any:  # noqa: ANN401 - whatever stands there
    """The part of that name. Failed, naming the distribution, when there is none or its module raises."""
    try:
        return pkgutil.resolve_name(part)
    except (Exception, SystemExit) as error:
        raise Failed(
            f"the part {part or repr('')} of a domain can't be loaded",
            why=f"{type(error).__name__}: {error}",
            mend=f"mend or remove the distribution that offers it: {', '.join(sorted(_offering(part)))}",
        ) from error


def _offering(part: Part) -> set[str]:
    """The distributions of the domains that name a part, or else of its package: a mistyped one is nobody's."""
    named = set()
    for one in entry_points(group=GROUP):
        try:
            if part in one.load().parts and one.dist:
                named.add(one.dist.name)
        except (Exception, SystemExit):
            continue
    return named or set(packages_distributions().get(part.partition(":")[0].partition(".")[0], ["rederive"]))


class Command(NamedTuple):
    """A command by its part, a function or a cyclopts app, and in a sentence what `rederive --help` says of it.

    Below `replay`, `plan` and `report` the sentence isn't needed: their help asks the command itself.
    """

    part: Part
    summary: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """A domain.

    name, derivation_version, changes
        The version grows by one whenever a formula changes what it computes. `changes` says which value columns a
        version changed, those that follow from them too: columns, "table.column", tables or scopes. Of a version that
        isn't there all are taken to have changed.
    tables
        In the order in which they are written.
    process
        Makes a raw record's value and the value columns asked for (none: all) into an Outcome. It is pure; ValueError
        when nothing can be made of the unit.
    compute
        Makes input lines of `rederive compute` into output lines (processors.computed). Without it all lines together
        are the value of one record.
    sources
        Subclasses of Source by name; a replay reads the first unless it says another. Each domain has a `log` besides.
    scopes
        Sets of value columns that are recomputed together. One is `all`; no names mean every column of every table.
    follows
        Tables whose rows live finds as they are committed: for each it keeps a cursor, named after domain and table.
    live
        Subclass of producers.live.Live that finds what arrives and delivers it. Without it what others send to the log
        is derived live.
    steps, checks
        What follows a capture's last unit: SQL, and a function of a connection and a capture's id that checks what the
        capture has stored and counts the checks by status.
    quality
        A function of a connection that counts by status what checks have stored, for `/metrics`.
    within, joins
        What of a raw record's value lies in a range of payload times: a function of the value, a start and an end
        (aware, None is open, the end excluded) that gives the value cut down to that, None where nothing of it does;
        it is pure, and raises ValueError for what says no time. Without it a log is replayed by send times only. With
        `joins` values of raw records may be joined by a newline: each line is computed as if it stood alone, and
        nothing that is UTF-8 text makes a unit dead.
    kept, log_retention
        The lanes whose raw topic is a log of what arrived, and for how long it keeps that; None is without limit.
    stages, reads, notes
        The tables that a unit of each stage writes, where rows are keyed by their capture. By table, the captures whose
        rows a unit reads there: a function of its stage and of its `reads`, in their order; without it a unit is taken
        to read all tables. Of a table that is merged, the keys whose rows a unit of a stage writes: a function of a
        table, a stage and the partition captures written. They go when the unit's rows do; without it they go with the
        whole run.
    journal
        A context manager of a capture, a folder and what connects; it gives a function that is told a run's progress.
    show_plan
        How a dry run prints a plan: a function of the plan and `json` that returns the exit code. Without it a dry run
        computes and counts.
    checklist
        What `rederive plan` says of a plan besides: a function of the plan that gives (name, text), in order; a name of
        the program's own checklist takes that line's place.
    gaps
        What is missing: a function of a Looking that yields Gaps (producers.gap), rows of older derivation
        versions too where it is asked for them. Without it the engine looks for these. Holes in the domain's logs are
        looked for by the engine in any case.
    provenance
        Which parts of a record's payload a derived value was computed from: a function of the record's value and a
        schemas.provenance.Wanted that gives a Traced, or None when the record gives no such row. It is pure. Without
        it `rederive explain` names the record as a whole.
    routes
        Its paths of the HTTP API: a rederive.http.routing.Router. Paths that are taken already are not added.
    pages
        Its own pages of the dashboard, below its name: a rederive.http.pages.Pages. Captures, coverage, dead letters,
        comparisons and explanations every domain has without.
    demo
        Its part of `rederive demo`: a function of a rederive.demo.Show.
    commands, reports
        Commands by their words: "replay tolls", "plan tolls", "report tariffs", or a word of their own, "tariffs".
        Without the first two `replay` and `plan` take the generic options. Functions of a connection that return rows
        (dicts), by the name that `rederive report` gives them.
    settings
        Its settings: subclasses of pydantic's BaseSettings, each with the prefix of its variables. `rederive config
        show` lists them, `rederive doctor` says whether they can be used.
    defaults
        What `rederive.replay` asks for unless it is told: fields of a Request; options are added to those given.
    counts
        What the plan of a source counts, and what for: ("row", "needing backfill").
    inputs
        Further tables that the domain can't do without.

    """

    name: str
    derivation_version: int
    tables: tuple[Table, ...]
    changes: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    process: Part = ""
    compute: Part = ""
    sources: Mapping[str, Part] = field(default_factory=dict)
    live: Part = ""
    follows: tuple[str, ...] = ()
    scopes: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {"all": ()})
    steps: tuple[Step, ...] = ()
    within: Part = ""
    joins: bool = False
    kept: tuple[LaneName, ...] = (LaneName.LOG,)
    log_retention: timedelta | None = None
    stages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    reads: Part = ""
    notes: Part = ""
    checks: Part = ""
    quality: Part = ""
    journal: Part = ""
    show_plan: Part = ""
    checklist: Part = ""
    gaps: Part = ""
    provenance: Part = ""
    routes: Part = ""
    pages: Part = ""
    demo: Part = ""
    commands: Mapping[str, Command] = field(default_factory=dict)
    reports: Mapping[str, Part] = field(default_factory=dict)
    settings: tuple[Part, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[Part, ...]:
        """All its parts, each by its name."""
        own = (
            self.process, self.compute, self.live, self.reads, self.notes, self.checks, self.quality, self.journal,
            self.show_plan, self.checklist, self.gaps, self.provenance, self.routes, self.pages, self.demo, self.within,
        )  # fmt: skip
        commands = (command.part for command in self.commands.values())
        return (*filter(None, own), *self.sources.values(), *self.reports.values(), *self.settings, *commands)

    @property
    def inserts(self) -> bool:
        """Whether its captures insert rows, as its first table has it."""
        return self.tables[0].policy is Mode.INSERT

    def in_scope(self, columns: Sequence[str]) -> tuple[str, ...]:
        """The value columns of a scope: those named, or where none is all of its tables'."""
        return tuple(columns) or tuple(dict.fromkeys(column.name for table in self.tables for column in table.values))

    def meant(self, words: Iterable[str]) -> set[str]:
        """The value columns that scopes and names mean: a scope that names none is all of them."""
        scopes = {name: self.in_scope(columns) for name, columns in self.scopes.items()}
        return {column for word in words for column in scopes.get(word, (word,))}

    def formulas(self, table: Table) -> Mapping[int, tuple[str, ...]]:
        """A table's value columns by the derivation version that last changed them; groups are taken whole.

        A table without value columns has the version of the domain.
        """
        version = {column.name: self._changed(table, column.name) for column in table.values}
        for group in table.groups:
            newest = max((version[name] for name in group if name in version), default=0)
            version |= {name: newest for name in group if name in version}
        found: dict[int, tuple[str, ...]] = {}
        for name, last in version.items():
            found[last] = (*found.get(last, ()), name)
        return found or {self.derivation_version: ()}

    def _changed(self, table: Table, column: str) -> int:
        for version in range(self.derivation_version, 1, -1):
            said = self.changes.get(version)
            if said is None or not {column, table.name, f"{table.name}.{column}"}.isdisjoint(said):
                return version
            if any(column in self.scopes[word] or not self.scopes[word] for word in said if word in self.scopes):
                return version
        return 1

    def table(self, name: str) -> Table:
        """The table of that name; KeyError when the domain has none."""
        for table in self.tables:
            if table.name == name:
                return table
        raise KeyError(name)
