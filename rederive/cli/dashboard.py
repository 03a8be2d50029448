"""`rederive dashboard`: pages, and the HTTP API below them, until stopped."""

from typing import Annotated

from cyclopts import Parameter, validators


def dashboard(
    *,
    host: Annotated[
        str | None, Parameter(help="Where it listens; other machines see it only elsewhere than on 127.0.0.1.")
    ] = None,
    port: Annotated[
        int | None, Parameter(validator=validators.Number(gte=0, lte=65_535), help="Which port; 0 takes any.")
    ] = None,
    actions: Annotated[
        bool,
        Parameter(negative="", help="Let whoever has the token, which stands on stderr, begin commands from pages."),
    ] = False,
    open_page: Annotated[
        bool, Parameter(name="--open", negative="", help="Open the first page in this machine's browser.")
    ] = False,
) -> None:
    """Serve pages and the HTTP API, read only unless --actions is said, until stopped: SIGTERM or Ctrl+C (exit 130).

    The settings say where, http://127.0.0.1:8787 unless they do. No service is started.

    Example: rederive dashboard --port 8080
    """
    import secrets

    from rederive.http.server import serve
    from rederive.settings import Settings

    settings = Settings()
    serve(
        settings,
        host or settings.dashboard_host,
        settings.dashboard_port if port is None else port,
        token=secrets.token_urlsafe(32) if actions else None,
        open_page=open_page,
    )
