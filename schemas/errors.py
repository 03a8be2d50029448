"""Errors that a person reads: what happened, to which record, why, and what to do next.

RederiveError
├── UsageError              the words of the command are wrong: exit 2
└── Failed                  the work could not be done or finished with errors: exit 1
    ├── Away                a service doesn't answer now: a run waits for it
    ├── Unknown             what is asked for over HTTP isn't there: 404
    ├── NewerError          a newer version has made the database's tables
    ├── TakenOverError      somebody else decides about the capture now
    ├── AccessRefused       an API takes no credentials: nothing more can be had of it
    └── DayFailed           one of its answers can't be had: the unit is dead, the others go on

What no person reads stands outside: signals that one module raises and another one catches, ValueError for a record of
which nothing can be made, and bugs.
"""


class RederiveError(Exception):
    """A failure to show as one message, without a traceback.

    `what` says what failed and on which record, `why` the cause as far as it is known, `mend` what to do next.
    """

    exit_code = 1

    def __init__(self, what: str, *, why: str = "", mend: str = "") -> None:
        super().__init__(what)
        self.what, self.why, self.mend = what, why, mend

    def __str__(self) -> str:
        text = self.what
        if self.why:
            text += f"\n  why: {self.why}"
        if self.mend:
            text += f"\n  do:  {self.mend}"
        return text


class UsageError(RederiveError):
    """The command cannot mean anything: unknown names, reversed dates."""

    exit_code = 2


class Failed(RederiveError):  # noqa: N818 - reads as what happened
    """The work could not be done, or was done with errors."""


class Away(Failed):
    """A service doesn't answer now. It may by itself: trying again may help, and nobody's doing is needed."""
