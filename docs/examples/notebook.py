"""What a domain has stored, and what a capture says of it: a marimo notebook.

Look at it with `marimo edit notebook.py`, where REDERIVE_DATABASE_URL or REDERIVE_HOME says which database is meant.
"""

import marimo

app = marimo.App(width="medium", app_title="Rederive: served, and computed")


@app.cell
def _():
    import marimo as mo
    import polars as pl
    from matplotlib.figure import Figure

    import rederive

    return Figure, mo, pl, rederive


@app.cell
def _():
    # Which table, and which capture it is held against: `rederive captures list` shows them.
    domain, table, capture = "betfair", "market_derived_metrics", "latest:betfair"
    day, columns = "snapshot_at", ["home_risk", "away_risk", "draw_risk"]
    return capture, columns, day, domain, table


@app.cell
def _(columns, day, domain, rederive, table):
    served = rederive.read(domain, table, columns=[day, *columns])
    served
    return (served,)


@app.cell
def _(capture, columns, day, domain, rederive, table):
    computed = rederive.read(domain, table, columns=[day, *columns], capture=capture)
    computed
    return (computed,)


@app.cell
def _(columns, computed, mo, pl, served):
    # Rows in which the capture computed another value than is served now.
    key = served.columns[0]
    both = served.join(computed, on=key, suffix="_computed")
    differing = both.filter(pl.any_horizontal(pl.col(one).ne_missing(pl.col(f"{one}_computed")) for one in columns))
    mo.md(f"Of {served.height:,} rows {computed.height:,} were computed, {differing.height:,} of them differ.")
    return (differing,)


@app.cell
def _(columns, day, pl, served):
    by_day = (
        served.group_by(pl.col(day).dt.date().alias("day"))
        .agg(pl.len().alias("rows"), *(pl.col(one).null_count().alias(f"{one} NULL") for one in columns))
        .sort("day")
    )
    by_day
    return (by_day,)


@app.cell
def _(Figure, by_day):
    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots()
    axes.bar(by_day["day"].cast(str), by_day["rows"])
    axes.set_ylabel("rows")
    figure
    return


if __name__ == "__main__":
    app.run()
