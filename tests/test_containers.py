"""docker-compose.yml and the embedded services are the same services."""

import re

import pytest

from rederive.local.kafka import PROPERTIES
from rederive.local.kafka import VERSION as KAFKA_VERSION
from rederive.local.postgres import OPTIONS
from tests.services import ROOT

COMPOSE = (ROOT / "docker-compose.yml").read_text()

# addresses and places differ
OWN = ("listeners", "log.dirs", "controller.quorum.voters", "advertised.listeners", "log.cleaner", "num.")
OWN_OPTIONS = ("listen_addresses", "unix_socket_directories")

SHARED = [
    line.split("=", 1)
    for line in PROPERTIES.splitlines()
    if "=" in line and not line.startswith(("#", *OWN)) and "{" not in line
]


@pytest.mark.parametrize(("name", "value"), SHARED, ids=[name for name, _ in SHARED])
def test_kafka_is_set_the_same(name: str, value: str) -> None:
    variable = "KAFKA_" + name.upper().replace(".", "_")
    assert re.search(rf'{variable}: "?{re.escape(value)}"?$', COMPOSE, re.MULTILINE)


@pytest.mark.parametrize("name", [name for name in OPTIONS if name not in OWN_OPTIONS])
def test_postgres_is_set_the_same(name: str) -> None:
    assert f"- -c{name}={OPTIONS[name]}\n" in COMPOSE


def test_kafka_is_the_same_version() -> None:
    assert f"image: apache/kafka:{KAFKA_VERSION}\n" in COMPOSE
