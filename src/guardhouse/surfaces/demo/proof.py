"""The last act: the ledger is verified against the outside checkpoint file, and one receipt is checked offline."""

from __future__ import annotations

import base64
import json

from guardhouse.ledger.keys import Verifier
from guardhouse.ledger.proof import verify_receipt
from guardhouse.surfaces.demo.account import Account
from guardhouse.surfaces.demo.stage import Stage


def prove(stage: Stage, account: Account) -> None:
    """What happened is what is written, and one decision proves itself to somebody with only the public key."""
    account.act("The ledger", "every entry whole, and a receipt that anybody can check offline")
    decided = stage.agents["trust-2"].call("check_guardrails", operation_text="rm -rf /")
    decision = str(decided["decision_id"])
    receipt = _receipt(stage, decision)
    _verify(stage, account)
    keys = stage.command("ledger", "key")
    _offline(account, receipt, keys.stdout, decision)


def _verify(stage: Stage, account: Account) -> None:
    done = stage.command("ledger", "verify", "--json")
    try:
        report = json.loads(done.stdout)
    except ValueError:
        report = {}
    account.ledger = report
    account.step(
        "`guardhouse ledger verify` finds every entry whole, also against the checkpoints outside the database",
        done.returncode == 0 and report.get("ok") is True and report.get("tree_size", 0) > 0,
        f"{report.get('tree_size')} entries, {len(report.get('faults', ()))} faults"
        if report
        else f"exit {done.returncode}: {done.stderr.strip()[:200]}",
    )


def _receipt(stage: Stage, decision: str) -> str:
    """The receipt; the command waits until a checkpoint covers the decision, which takes a second at most."""
    return stage.command("ledger", "receipt", decision).stdout


def _offline(account: Account, receipt: str, keys: str, decision: str) -> None:
    verifiers = []
    for word in keys.split():
        try:
            verifiers.append(Verifier.parse(word))
        except ValueError:
            continue
    try:
        proved = verify_receipt(receipt, tuple(verifiers))
        entry = json.loads(proved.body)
        account.step(
            "a receipt of one decision holds with nothing but the public key",
            entry["id"] == decision,
            f"entry {proved.index} of {proved.size}: verdict {entry.get('verdict')}",
        )
    except (ValueError, KeyError) as error:
        account.step("a receipt of one decision holds with nothing but the public key", False, str(error))
        return
    head, mark, rest = receipt.partition("extra ")
    body, _, tail = rest.partition("\n")
    forged = base64.b64encode(base64.b64decode(body).replace(b'"block"', b'"allow"')).decode()
    try:
        verify_receipt(head + mark + forged + "\n" + tail, tuple(verifiers))
        account.step("with one word of it changed it does not", False, "the forged receipt was believed")
    except ValueError as error:
        account.step("with one word of it changed it does not", forged != body, str(error))
