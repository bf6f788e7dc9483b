"""Storage: engine, tables, migrations, and queries of one table each."""
