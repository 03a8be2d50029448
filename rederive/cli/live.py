"""`rederive live`: derive what arrives, until stopped."""

from typing import Annotated

from cyclopts import Parameter

from rederive.cli.running import DomainName


def live(
    domains: Annotated[tuple[DomainName, ...], Parameter(help="Whose; all that are installed unless named.")] = (),
    *,
    from_now: Annotated[
        bool,
        Parameter(
            negative="",
            help="Begin with what arrives from now on, whatever was reached before: after a restore, for instance.",
        ),
    ] = False,
) -> int:
    """Derive what arrives as it arrives, until stopped: producers, agents and sinks are kept at work.

    SIGTERM, Ctrl+C or the end of its terminal stops what finds, lets arrive what was found, and ends with 0. Started
    again it goes on where it stopped. On a second machine the same command shares the work; its producers stand by.
    """
    import signal
    import threading

    from rederive import domains as installed
    from rederive.endpoints import resolve
    from rederive.live import Supervisor
    from rederive.settings import Settings

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # nohup has it ignore its terminal's end
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: stop.set())
    settings = Settings()
    endpoints = resolve(settings)
    names = domains or tuple(domain.name for domain in installed.usable() if domain.live)
    return Supervisor(settings.at(endpoints), endpoints.database_url, tuple(dict.fromkeys(names)), from_now)(stop)
