"""What `rederive replay DOMAIN` takes, as a form: found out from the command itself, a stranger's too."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from rederive.cli.app import app
from rederive.cli.root import load_commands

_LEFT_OUT = ("--json", "--batch-size", "--workers", "--sinks", "--yes", "--check-status", "--help", "--version", "-h")
_one_at_a_time = threading.Lock()


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a command: its name with the hyphens, what it means, what may be said."""

    name: str
    help: str
    usual: str
    flag: bool = False
    many: bool = False
    choices: tuple[str, ...] = ()

    @property
    def field(self) -> str:
        """Its name in a form."""
        return self.name.removeprefix("--")

    def words(self, said: str) -> list[str]:
        """As a person types it; none where nothing is said."""
        text = said.strip()
        if self.flag:
            return [self.name] if text else []
        if not text:
            return []
        values = text.split() if self.many else [text]
        return [word for value in values for word in self._pair(value)]

    def _pair(self, value: str) -> list[str]:
        # A value that begins with a hyphen would be an option.
        return [f"{self.name}={value}"] if value.startswith("-") else [self.name, value]


@cache
def options(command: str, domain: str) -> tuple[Option, ...]:
    """The options of `rederive COMMAND DOMAIN`; none where the domain has no such command."""
    with _one_at_a_time:
        load_commands([command, domain])
        if domain not in app[command]:
            return ()
        found = []
        for argument in app[command][domain].assemble_argument_collection():
            name = argument.names[0]
            if not name.startswith("--") or name in _LEFT_OUT:
                continue
            count, many = argument.token_count()
            default = argument.field_info.default
            usual = " ".join(default) if isinstance(default, tuple) else str(default)
            found.append(
                Option(
                    name,
                    argument.parameter.help or "",
                    usual if default not in (None, "", (), False) else "",
                    flag=count == 0,
                    many=many,
                    choices=tuple(argument.get_choices() or ()),
                )
            )
        return tuple(found)


def words(some: Sequence[Option], said: Mapping[str, str], *, asks: bool = True) -> list[str]:
    """A form's fields as words of the command line, in the order of the options.

    A command that `asks` before it clears what is stored is told not to: the page has asked.
    """
    found = [word for one in some for word in one.words(said.get(one.field, ""))]
    return [*found, "--yes"] if asks and "--clear" in found else found
