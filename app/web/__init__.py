"""HTTP in: webhooks, REST API, dashboard, access."""
