"""Vocabulary: frozen types that every room shares; no IO, no framework."""
