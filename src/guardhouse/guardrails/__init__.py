"""The command engine: what a text would do if it were run, as findings. Pure; work is bounded, never timed."""

from guardhouse.guardrails.engine import load_packs
from guardhouse.guardrails.explain import draw
from guardhouse.guardrails.reasons import native_reason

__all__ = ["draw", "load_packs", "native_reason"]
