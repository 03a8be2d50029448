from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.testclient import TestClient

from rederive.settings import Settings
from tests.program import start


def get(http: TestClient, path: str, status: int = 200, /, **params: Any) -> Any:
    """What a path answers, which must be of that status, as JSON."""
    answer = http.get(path, params=params or None)
    assert answer.status_code == status, answer.text
    return answer.json()


@contextmanager
def dashboard(settings: Settings) -> Iterator[str]:
    """`rederive dashboard --actions`; the address with the token, as the terminal shows it."""
    with start(settings, "dashboard", "--actions", "--port", "0") as process:
        try:
            assert process.stderr is not None
            yield next(word for line in process.stderr for word in line.split() if "/login?token=" in word)
        finally:
            process.terminate()
            process.communicate(timeout=20)
