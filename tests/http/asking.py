from typing import Any

from starlette.testclient import TestClient


def get(http: TestClient, path: str, status: int = 200, /, **params: Any) -> Any:
    """What a path answers, which must be of that status, as JSON."""
    answer = http.get(path, params=params or None)
    assert answer.status_code == status, answer.text
    return answer.json()
