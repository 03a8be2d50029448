"""The engine's own tables: captures, units, origins, problems. Every statement about them is here, nowhere else."""
