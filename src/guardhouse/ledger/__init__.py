"""Memory: the append-only, tamper-evident ledger of decisions."""
