"""Ground: transactions on SQLite and PostgreSQL. Knows no domain."""
