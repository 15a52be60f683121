"""Work: what agents do together. Plain domain code that knows no policy and no protocol; each module owns its tables."""
