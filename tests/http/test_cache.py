"""Values that are kept: who asks waits for the first one only."""

import threading

import pytest

from rederive.http.cache import Cache
from tests.wait import until


def test_one_of_many_looks_and_all_have_what_it_finds() -> None:
    kept: Cache[int] = Cache(60, 60)
    begun, go = threading.Event(), threading.Event()
    looks: list[int] = []

    def find() -> int:
        begun.set()
        assert go.wait(10)
        looks.append(1)
        return 7

    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(kept.get("a", find))) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert begun.wait(10)
    go.set()
    for thread in threads:
        thread.join(10)
    assert (found, len(looks)) == ([7] * 5, 1)


def test_a_stale_value_is_given_while_the_next_is_looked_for() -> None:
    kept: Cache[int] = Cache(-1, 60)
    go = threading.Event()
    assert kept.get("a", lambda: 0) == 0
    assert kept.get("a", lambda: int(go.wait(10))) == 0
    assert kept.get("a", lambda: 5) == 0
    go.set()
    until(lambda: kept.get("a", lambda: 1) == 1, 10, "nobody looked again")


def test_a_value_of_the_same_version_stays() -> None:
    kept: Cache[str] = Cache(-1, -1)
    assert kept.get("a", lambda: "first", version=1) == "first"
    assert kept.get("a", lambda: "second", version=1) == "first"
    assert kept.get("a", lambda: "third", version=2) == "third"


def test_who_waits_is_told_why_there_is_none_and_may_ask_again() -> None:
    kept: Cache[int] = Cache(60, 60)

    def fails() -> int:
        raise ValueError("away")

    with pytest.raises(ValueError, match="away"):
        kept.get("a", fails)
    assert kept.get("a", lambda: 1) == 1
