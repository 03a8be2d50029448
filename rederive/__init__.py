"""The program: command line, settings, local services, supervision, captures, reports."""
