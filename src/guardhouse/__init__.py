"""Guardhouse: the gate that every coordination call of an agent fleet passes, decided by policy and recorded for proof."""

__version__ = "0.1.0"
