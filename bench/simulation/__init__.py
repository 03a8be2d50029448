"""A deployment played on paper: the costs that were measured here, on machines that aren't here."""
