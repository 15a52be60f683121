"""`guardhouse mcp` as harnesses start it: a process of its own, with the official client at its pipes."""

from __future__ import annotations


