"""Files under `AUTONOMOUS_RUNS_DIR`: projections of the database, written atomically and never read."""
