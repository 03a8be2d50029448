"""What the data is: units, outcomes, captures, plans, table specs, migrations."""
