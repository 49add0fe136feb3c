"""Pages: reports, listening pages, model cards and the tables of scores and runs."""
