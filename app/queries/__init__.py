"""Read models: what the status comment, REST API, reports and artifacts show, read from the database."""
