"""The domains there are: found by entry points, each loaded when it is asked for.

A distribution offers one in its pyproject.toml: `[project.entry-points."rederive.domains"]`, name = "module:object".
"""

import logging
import re
from collections.abc import Iterator
from functools import cache
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution, entry_points
from itertools import takewhile
from pathlib import Path

from schemas.domain import GROUP, Domain
from schemas.errors import Failed, UsageError
from schemas.table import Column, Mode, Table

_NAME = re.compile(r"[A-Za-z0-9_-]{1,60}").fullmatch
_PART = re.compile(r"[\w.]+:[\w.]+").fullmatch
_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]{0,62}").fullmatch

log = logging.getLogger(__name__)


@cache
def _offered() -> dict[str, EntryPoint]:
    """Entry points by the name of their domain, the shipped ones first."""
    found: dict[str, EntryPoint] = {}
    every = (*_of_checkout(), *entry_points(group=GROUP))
    for one in sorted(every, key=lambda one: (not _is_shipped(one), one.name, _distribution(one))):
        taken = found.setdefault(one.name, one)
        if taken.value != one.value:
            log.warning(
                "the domain %s of the distribution %s is left out: %s has one of that name",
                one.name, _distribution(one), _distribution(taken),
            )  # fmt: skip
    return found


def _distribution(one: EntryPoint) -> str:
    return one.dist.name if one.dist else "rederive"


def _is_shipped(one: EntryPoint) -> bool:
    return _distribution(one) == "rederive"


def _of_checkout() -> list[EntryPoint]:
    """Those of a checkout that nobody has installed."""
    try:
        distribution("rederive")
    except PackageNotFoundError:
        import tomllib

        project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
        return [EntryPoint(name, value, GROUP) for name, value in project["entry-points"][GROUP].items()]
    return []


def names() -> tuple[str, ...]:
    """The names of all domains; nothing is loaded."""
    return tuple(_offered())


def known(name: str) -> str:
    """The name itself. UsageError when there is no such domain."""
    if name not in _offered():
        import difflib

        near = difflib.get_close_matches(name, names(), n=1)
        mend = f"did you mean {near[0]}?" if near else "`rederive replay --help` shows what there is"
        raise UsageError(f"there is no domain {name}", why=f"known are {', '.join(names())}", mend=mend)
    return name


@cache
def find(name: str) -> Domain:
    """The domain of that name. UsageError when there is none, Failed when it can't be loaded or has others' tables."""
    domain, offered = _loaded(known(name)), _offered()[name]
    # The shipped ones come first: whoever loads one loads no other.
    if not _is_shipped(offered):
        owners = _owners_before(name)
        if others := [table.name for table in domain.tables if table.name in owners]:
            raise broken(name, "used", f"{offered.value}: {others[0]} is a table of {owners[others[0]]}")
    return domain


def _owners_before(name: str) -> dict[str, str]:
    """The tables of the domains that come before one, and what the shipped ones read, by the domain that has them."""
    owners: dict[str, str] = {}
    for other, offered in takewhile(lambda one: one[0] != name, _offered().items()):
        try:
            domain = _loaded(other)
        except Failed:
            continue
        tables = dict.fromkeys((table.name for table in domain.tables), other)
        if not tables.keys() & owners:
            inputs = dict.fromkeys(domain.inputs if _is_shipped(offered) else (), other)
            owners |= inputs | tables
    return owners


@cache
def _loaded(name: str) -> Domain:
    """One of the domains that are offered, whatever tables it has."""
    offered = _offered()[name]
    try:
        domain = offered.load()
    except (Exception, SystemExit) as error:
        raise broken(name, "loaded", f"{offered.value}: {type(error).__name__}: {error}") from error
    if not isinstance(domain, Domain) or domain.name != name:
        raise broken(name, "used", f"{offered.value} is no Domain of that name")
    if why := next(_faults(domain), None):
        raise broken(name, "used", f"{offered.value}: {why}")
    return domain


def of_capture(name: str) -> Domain:
    """The domain that a stored capture names. Failed when it isn't there now, or can't be loaded."""
    if name not in _offered():
        raise Failed(
            f"the domain {name} of the capture is not installed",
            why=f"there are {', '.join(names())}",
            mend=f"install the distribution that offers {name} again",
        )
    return find(name)


def _faults(domain: Domain) -> Iterator[str]:
    """What can't be in a domain, whatever its parts are: they aren't loaded."""
    if not _NAME(domain.name):
        yield f"its name {domain.name!r} can't be part of a topic's: letters, digits, _ and - can"
    if type(domain.derivation_version) is not int or not 0 < domain.derivation_version < 2**31:
        yield f"derivation_version is {domain.derivation_version!r}, no positive number"
    if not isinstance(domain.tables, tuple) or not all(isinstance(table, Table) for table in domain.tables):
        yield "tables is no tuple of Tables"
        return
    tables = {table.name for table in domain.tables}
    if len(tables) < len(domain.tables):
        yield "two of its tables have one name"
    for table in domain.tables:
        yield from (f"table {table.name}: {why}" for why in _table_faults(table))
    named = {"process": domain.process, "compute": domain.compute, "reads": domain.reads, "notes": domain.notes}
    named |= {"checks": domain.checks, "journal": domain.journal, "show_plan": domain.show_plan, "gaps": domain.gaps}
    named |= {"provenance": domain.provenance, "routes": domain.routes, "demo": domain.demo}
    named |= {"within": domain.within}
    for kind, parts in (("source", domain.sources), ("report", domain.reports)):
        named |= {f"{kind} {name}": part for name, part in parts.items()}
    for what, part in named.items():
        if not isinstance(part, str) or (part and not _PART(part)):
            yield f"{what} is {part!r}, not 'module:attribute'"
    if domain.sources and not (domain.tables and domain.process):
        yield "it has sources, and no tables or no process"
    if "all" not in domain.scopes:
        yield "its scopes lack 'all'"
    if domain.changes:
        yield from _changes_faults(domain)
    for stage, written in domain.stages.items():
        if unknown := set(written) - tables:
            yield f"its stage {stage} writes {', '.join(sorted(unknown))}, which is none of its tables"


def _changes_faults(domain: Domain) -> Iterator[str]:
    known = {*domain.scopes, *(table.name for table in domain.tables)}
    for table in domain.tables:
        known |= {name for one in table.values for name in (one.name, f"{table.name}.{one.name}")}
    for version, changed in domain.changes.items():
        if type(version) is not int or not 1 < version <= domain.derivation_version:
            yield f"changes says version {version!r}, which is none of 2 to {domain.derivation_version}"
        elif not isinstance(changed, tuple) or (unknown := set(changed) - known):
            said = ", ".join(sorted(map(str, unknown))) if isinstance(changed, tuple) else repr(changed)
            yield f"changes of version {version} names {said}: a tuple of columns, tables or scopes is wanted"


_POLICIES = (Mode.FILL, Mode.SUPERSEDE, Mode.INSERT)
"""Those of tables: a shadow is one of a capture."""


def _table_faults(table: Table) -> Iterator[str]:
    columns = (*table.key, *table.attributes, *table.values)
    if not isinstance(table.policy, Mode) or table.policy not in _POLICIES:
        yield f"its policy is {table.policy!r}, none of {', '.join(f'Mode.{mode.name}' for mode in _POLICIES)}"
    if not table.key or not all(isinstance(column, Column) for column in columns):
        yield "its key is empty, or a column of it is no Column"
        return
    names = [column.name for column in columns]
    if odd := [name for name in (table.name, *names) if not _IDENTIFIER(name)]:
        yield f"{odd[0]!r} is no name of Postgres: lower case letters, digits and _, at most 63"
    if len(set(names)) < len(names):
        yield "two of its columns have one name"
    if outside := {name for group in table.groups for name in group} - set(names):
        yield f"a group names {', '.join(sorted(outside))}, which is none of its columns"
    owned = {owner for column in columns for owner in column.owners}
    if table.policy is not Mode.INSERT and not owned <= set(range(len(table.sources))):
        yield f"a column is owned by a source beyond its {len(table.sources)}"
    if table.day and table.day not in names:
        yield f"its day is {table.day}, which is none of its columns"
    if table.policy is Mode.INSERT and not table.audit and "capture_id" not in names:
        yield "its rows are inserted, and its key has no capture_id"


def broken(name: str, done: str, why: str) -> Failed:
    """The message of what can't be done with a domain, which those who offer it have to mend."""
    offered = _offered()[name]
    mend = f"mend or remove the distribution that offers it: {_distribution(offered)}"
    return Failed(f"the domain {name} can't be {done}", why=why, mend=mend)


def shipped() -> list[Domain]:
    """The domains of this distribution, whose tables its migrations make."""
    return [find(name) for name, one in _offered().items() if _is_shipped(one)]


def at_fault(error: BaseException) -> tuple[str, str] | None:
    """The module and distribution of somebody else's domain in which an error arose, None when it is ours."""
    others = {
        package: _distribution(one) for one in _offered().values() if not _is_shipped(one) for package in _packages(one)
    }
    place, found = error.__traceback__, None
    while place is not None:
        module = str(place.tb_frame.f_globals.get("__name__", ""))
        if (package := module.partition(".")[0]) in others:
            found = module, others[package]
        place = place.tb_next
    return found


def _packages(one: EntryPoint) -> set[str]:
    """The packages that a domain stands in, it and its parts."""
    try:
        parts = find(one.name).parts
    except Failed:
        parts = ()
    return {module.partition(":")[0].partition(".")[0] for module in (one.value, *parts)}


def usable() -> list[Domain]:
    """All domains that can be loaded; the others are said in the log."""
    found = []
    for name in names():
        try:
            found.append(find(name))
        except Failed as error:
            log.warning("%s", error)
    return found
