"""Standing: the state that gates judge by. Each module owns its rules; the tables stand in `tables`."""
