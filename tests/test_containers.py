"""docker-compose.yml and the embedded services are the same services."""

import json
import re

import pytest
import yaml

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


def test_what_the_monitoring_is_provisioned_with_is_there() -> None:
    services = yaml.safe_load(COMPOSE)["services"]
    mounted = [
        volume.split(":")
        for name in ("prometheus", "grafana")
        for volume in services[name]["volumes"]
        if volume.startswith("./")
    ]
    read = {inside: (ROOT / outside).read_text() for outside, inside, _ in mounted}
    scraped = yaml.safe_load(read["/etc/prometheus/prometheus.yml"])
    assert [f"/etc/prometheus/{name}" for name in scraped["rule_files"]] == ["/etc/prometheus/rules.yml"]
    (dashboard,) = scraped["scrape_configs"][0]["static_configs"][0]["targets"]
    assert dashboard == f"{services['dashboard']['environment']['REDERIVE_DASHBOARD_NAMES']}:8787"
    (source,) = yaml.safe_load(read["/etc/grafana/provisioning/datasources/rederive.yml"])["datasources"]
    (boards,) = yaml.safe_load(read["/etc/grafana/provisioning/dashboards/rederive.yml"])["providers"]
    shown = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert shown.startswith(boards["options"]["path"])
    panels = json.loads(read[shown])["panels"]
    assert {panel["datasource"]["uid"] for panel in panels if "datasource" in panel} == {source["uid"]}
