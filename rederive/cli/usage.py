"""Wrong usage, said as everything else that fails: what, why, what to do."""

import difflib
from datetime import datetime
from typing import Literal, get_args, get_origin

import cyclopts
from cyclopts.argument import Argument

from rederive import domains
from schemas.errors import UsageError

_FROM_STDIN = ("compute",)
"""Commands whose input is stdin, so that a file's name is a word too many."""

_WANTED: dict[type, str] = {
    int: "a whole number is wanted",
    bool: "it takes no value",
    datetime: "a UTC day such as 2026-02-06 is wanted, or a time such as 2026-02-06T12:00:00",
}


def check_text(arguments: list[str]) -> None:
    """UsageError for words that are no text: neither a database nor JSON can hold them."""
    for number, word in enumerate(arguments, start=1):
        try:
            word.encode()
        except UnicodeEncodeError:
            why = f"word {number} has bytes that are no UTF-8"
            mend = "write it in UTF-8; rename a file whose name is no text"
            raise UsageError(f"{word!r} is no text", why=why, mend=mend) from None


def usage_error(error: cyclopts.CycloptsError) -> UsageError:
    """The message for words that the command line can't take."""
    error.verbose = False
    command = " ".join(["rederive", *(error.command_chain or ())])
    help_ = f"`{command} --help` shows what there is"
    match error:
        case cyclopts.UnknownCommandError():
            return _unknown_command(error, help_)
        case cyclopts.UnknownOptionError():
            word = (error.token.keyword or error.token.value).partition("=")[0]
            known = [name for argument in error.argument_collection for name in argument.names]
            return UsageError(f"`{command}` has no option {word}", mend=_meant(word, known) or help_)
        case cyclopts.UnusedCliTokensError():
            return _too_many(error, command, help_)
        case cyclopts.MissingArgumentError() if error.argument is not None:
            name = _name(error.argument, error.keyword)
            what = f"`{command}` needs {name}" if error.keyword is None else f"`{command}`: {name} needs a value"
            said = error.argument.parameter.help
            return UsageError(what, why=f"{name}: {said}" if said else "", mend=help_)
        case cyclopts.CoercionError() if error.argument is not None and error.token is not None:
            name = _name(error.argument, error.token.keyword)
            return UsageError(
                f"{name} can't be {error.token.value!r}",
                why=_wanted(error.target_type) or str(error.msg or ""),
                mend=help_,
            )
        case cyclopts.ValidationError() if error.argument is not None and error.argument.tokens:
            token = error.argument.tokens[0]
            name = _name(error.argument, token.keyword)
            return UsageError(f"{name} can't be {token.value!r}", why=error.exception_message, mend=help_)
    return UsageError(str(error), mend=help_)


def _unknown_command(error: cyclopts.UnknownCommandError, help_: str) -> UsageError:
    word, *_ = error.unused_tokens or [""]
    if tuple(error.command_chain or ()) in (("replay",), ("plan",)) and word in domains.names():
        why = "its Domain names none in `sources`"
        return UsageError(f"{word} has no source", why=why, mend=f"`rederive replay-topic {word}` replays its log")
    known = [name for name in error.app if not name.startswith("-")] if error.app else []
    return UsageError(
        f"there is no command {word!r}", why=f"known are {', '.join(known)}", mend=_meant(word, known) or help_
    )


def _too_many(error: cyclopts.UnusedCliTokensError, command: str, help_: str) -> UsageError:
    words = error.unused_tokens or []
    what = f"`{command}` has no use for {' '.join(words)}"
    if error.command_chain and error.command_chain[0] in _FROM_STDIN:
        return UsageError(what, why="it reads stdin", mend=f"use `< {words[0]}`")
    return UsageError(what, mend=help_)


def _name(argument: Argument, keyword: str | None) -> str:
    """What it was called; else a positional's NAME, an option's --name."""
    if keyword is not None:
        return keyword
    return argument.name.lstrip("-").upper() if argument.field_info.is_positional else argument.name


def _wanted(kind: type | None) -> str:
    if get_origin(kind) is Literal:
        return f"it is one of {', '.join(str(choice) for choice in get_args(kind))}"
    return _WANTED.get(kind, "") if kind else ""


def _meant(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.75)
    return f"did you mean {near[0]}?" if near else ""
