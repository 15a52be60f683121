"""The yardstick: a bare FastAPI `async def` route with the same models as `check_guardrails`, and nothing behind it."""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Violation(BaseModel):
    rule_id: str
    category: str
    severity: str
    matched_text: str
    start: int
    end: int
    reason: str


class Check(BaseModel):
    operation_text: str
    kind: str = "auto"
    file_paths: list[str] = []
    cwd: str = ""


class Checked(BaseModel):
    safe: bool
    verdict: str
    violations: list[Violation]
    approval_required: bool
    approval_id: str | None = None
    enforced: bool
    decision_id: str


app = FastAPI()


@app.post("/v1/check_guardrails")
async def check_guardrails(ask: Check) -> Checked:
    """Answer at once."""
    return Checked(
        safe=True, verdict="allow", violations=[], approval_required=False, enforced=True, decision_id="dec_bare"
    )


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="error",
    )
