"""A process that takes turns at a rate limit from two threads and prints when: seconds of the machine's one clock."""

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import psycopg

from producers.rate_limit import RateLimit

THREADS = 2


def main(database_url: str, name: str, count: int) -> None:
    """Take `count` turns in each thread."""
    limit = RateLimit(partial(psycopg.connect, database_url), name)

    def take(_: int) -> None:
        for _ in range(count):
            limit.acquire(threading.Event())
            at = time.monotonic()
            sys.stdout.write(f"{at!r}\n")
            sys.stdout.flush()

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(take, range(THREADS)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
