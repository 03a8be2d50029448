"""Electricity meters: readings from a table and from files, what they cost, and totals of days and months."""

from rederive import Column, Domain, Mode, Table

BY_TABLE, BY_FILE = 0, 1
EVERYBODY = (BY_TABLE, BY_FILE)

READINGS = Table(
    name="meter_readings_derived",
    key=(Column("meter", "text"), Column("at", "timestamptz")),
    attributes=(Column("site", "text", EVERYBODY),),
    values=(
        Column("kwh", "float8", EVERYBODY),
        Column("cost", "float8", EVERYBODY),
        Column("volts", "float8", (BY_FILE,)),
        Column("amps", "float8", (BY_FILE,)),
    ),
    observed="observed",
    policy=Mode.SUPERSEDE,
    sources=("table", "file"),
    groups=(("volts", "amps"),),
)
"""A reading of a meter: what the two sources say together. Volts and amps are of one moment: taken together."""

TOTALS = Table(
    name="meter_totals",
    key=(Column("span", "text"), Column("start", "date"), Column("meter", "text"), Column("capture_id", "text")),
    attributes=(Column("captured_at", "timestamptz"),),
    values=(Column("kwh", "float8"), Column("cost", "float8")),
    observed="captured_at",
    policy=Mode.INSERT,
    partition=("span", "start"),
)
"""Totals of a file's days, and of months, by the capture that computed them."""

METERS = Domain(
    name="meters",
    derivation_version=1,
    tables=(READINGS, TOTALS),
    process="meters.formulas:process",
    sources={"table": "meters.sources:ReadingTable", "files": "meters.sources:ReadingFiles"},
    within="meters.formulas:within",
    stages={"file": (TOTALS.name,), "month": (TOTALS.name,)},
    reports={"meter-months": "meters.reports:months"},
    counts={"table": ("reading", "to derive"), "files": ("file", "to derive")},
)
