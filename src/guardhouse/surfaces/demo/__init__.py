"""The demo: a fleet plays against a gateway of its own through real doors, and every step says whether it went as told."""

from __future__ import annotations

from guardhouse.surfaces.demo.play import play

__all__ = ["play"]
