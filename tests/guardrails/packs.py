"""The shipped packs, and the verdict they give."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from guardhouse.guardrails import load_packs
from guardhouse.guardrails.engine import Engine
from guardhouse.guardrails.text import Examined

FOLDER = Path(__file__).resolve().parents[2] / "policies" / "guardrails"
RANK = {"log": 0, "warn": 1, "approval_required": 2, "block": 3}


@lru_cache(maxsize=1)
def shipped() -> Engine:
    return load_packs({f"guardrails/{path.name}": path.read_bytes() for path in FOLDER.glob("*.yaml")})


def verdict(text: str, kind: str = "auto") -> str:
    findings = shipped().examine((Examined("text", text, kind),))
    return ("allow", "warn", "ask", "block")[max((RANK[one.severity] for one in findings), default=0)]
