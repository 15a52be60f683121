"""The command engine: what a text would do if it were run, as findings. Pure; work is bounded, never timed."""

from guardhouse.guardrails.engine import load_packs

__all__ = ["load_packs"]
