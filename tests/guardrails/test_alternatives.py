"""The safer command that a finding proposes: the caller's own words, on the same target, and nothing that we would stop."""

from __future__ import annotations

import re
import shlex

import pytest
import yaml

from guardhouse.errors import LawFault
from guardhouse.guardrails import load_packs
from guardhouse.guardrails.text import Examined
from tests.guardrails.packs import FOLDER, shipped, verdict


def proposed(text: str) -> dict[str, str]:
    """The alternatives for a text, by rule."""
    texts = (Examined("t", text),)
    return {one.rule: one.alternative for one in shipped().explain(texts, shipped().examine(texts))}


@pytest.mark.parametrize(
    ("text", "rule", "told"),
    [
        ("git -C ../web push -f origin main", "git.push.force", "git -C ../web push --force-with-lease origin main"),
        ("git push -f origin main release", "git.push.force", "git push --force-with-lease origin main release"),
        ("git restore 'a b.txt' c.txt", "git.restore", "git stash push -- 'a b.txt' c.txt"),
        ("rm -rf 'my docs' src", "filesystem.delete.tree", "git rm -r --dry-run -- 'my docs' src"),
        (
            "kubectl -n prod --context east delete pod web",
            "deployment.kubernetes.delete",
            "kubectl get pod web -n prod --context=east -o yaml to keep a copy, "
            "then kubectl -n prod --context east delete pod web --dry-run=server",
        ),
        ("kubectl -n prod apply -f a.yaml", "deployment.kubernetes.apply", "kubectl diff -n prod -f a.yaml"),
        (
            "terraform -chdir=prod destroy",
            "deployment.terraform.destroy",
            "terraform -chdir=prod plan -destroy -out=destroy.tfplan, for a person to read",
        ),
        ("helm -n prod upgrade web ./chart", "deployment.helm", "helm -n prod upgrade web ./chart --dry-run"),
        (
            "az group delete -n prod --yes",
            "deployment.azure.delete",
            "az group show -n prod, and let its owner delete it",
        ),
        (
            "gcloud compute instances delete web --zone a",
            "deployment.gcloud.delete",
            "gcloud compute instances describe web --zone=a, and let its owner delete it",
        ),
        ("service nginx stop", "system.services", "service nginx status, and ask a person who runs the machine"),
        (
            "curl -X DELETE 'https://a.example/x?a=1&b=2'",
            "deployment.http",
            "read it first: curl 'https://a.example/x?a=1&b=2'",
        ),
        ("git push --force", "git.push.force", "git push --force-with-lease"),
        (
            "git -C ../web push --delete origin v1",
            "git.push.delete",
            "git -C ../web push --dry-run --delete origin v1, and ask its owner to delete it",
        ),
        ("git push origin :v1", "git.push.delete", "git push --dry-run origin :v1, and ask its owner to delete it"),
        (
            "git clean -fdx 'my docs'",
            "git.clean.force",
            "git clean -n -d -x 'my docs', then remove what you meant by name",
        ),
        (
            "git -c clean.requireForce=false clean -d src",
            "git.clean.unguarded",
            "git clean -n -d src, then remove what you meant by name",
        ),
        ("git stash drop 'stash@{2}'", "git.stash.drop", "git stash branch keep 'stash@{2}'"),
        ("git stash clear", "git.stash.drop", "git stash branch keep"),
        ("git push --no-verify", "git.verify", "git hook run pre-push, and mend what it finds"),
        (
            "find .. -type f | xargs shred",
            "filesystem.delete.found",
            "run what finds them alone and read the list, then shred the ones that you mean by name",
        ),
        ("pulumi -s prod up --yes", "deployment.pulumi.up", "pulumi -s prod preview --diff"),
        (
            "oc -n prod create rolebinding x --role=admin",
            "deployment.kubernetes.rights",
            "oc auth can-i --list -n prod",
        ),
        (
            "docker push x/y",
            "publishing.image",
            "docker image inspect x/y, and let the pipeline publish it",
        ),
        (
            "dropdb -h db1 prod",
            "database.admin",
            "pg_dump -h db1 prod > backup.sql, and let a person drop it",
        ),
        (
            "redis-cli -h cache -n 2 FLUSHALL",
            "database.admin",
            "redis-cli -h cache -n 2 info keyspace, and let a person run this",
        ),
        (
            "docker run --privileged -v a:/b alpine sh",
            "containers.privileged",
            "docker run alpine sh, with the one port or folder that it needs",
        ),
        (
            "ssh -A root@db1 uptime",
            "credentials.agent.forward",
            "ssh -J BASTION root@db1, which passes through and lends nothing",
        ),
        (
            "glab variable delete X -R a/b",
            "deployment.pipeline.secret",
            "glab variable list -R a/b, and ask who set it",
        ),
        ("npm publish --access public", "publishing.package", "npm publish --access public --dry-run"),
    ],
)
def test_it_keeps_the_words_and_the_target(text: str, rule: str, told: str) -> None:
    assert proposed(text)[rule] == told


NAMES_A_PERSON = 45
"""Rules on commands, of those shipped, whose alternative has no place for the caller's words: most can only name whom to ask."""


def test_most_rules_on_commands_have_a_place_for_the_callers_own_words() -> None:
    fixed = []
    for path in sorted(FOLDER.glob("*.yaml")):
        for rule in yaml.safe_load(path.read_text(encoding="utf-8")).get("rules") or []:
            says = [rule.get("alternative", ""), *(one["say"] for one in rule.get("instead", []))]
            if "argv" in rule and "{" not in "".join(says):
                fixed.append(rule["id"])
    assert len(fixed) <= NAMES_A_PERSON, fixed


HOSTILE = (
    "main; rm -rf ~",
    "$(rm -rf ~)",
    "`rm -rf ~`",
    "a && rm -rf /",
    "x | sh",
    "it's; reboot",
    "a > /etc/passwd",
    "a\nrm -rf ~",
)


@pytest.mark.parametrize("word", HOSTILE)
def test_no_word_of_the_callers_becomes_a_command(word: str) -> None:
    for before in (
        "git push --force origin ",
        "git push --delete origin ",
        "git clean -fd ",
        "git stash drop ",
        "git restore ",
        "rm -rf ",
        "dropdb ",
        "docker push ",
        "umount -f ",
        "pulumi up -s ",
        "kubectl delete pod ",
        "npm publish --tag ",
    ):
        for rule, told in proposed(before + shlex.quote(word)).items():
            command = told.partition(" to keep a copy")[0]
            assert verdict(command) in ("allow", "warn"), (rule, told)
            assert "\n" not in told


def test_every_shipped_alternative_passes_itself() -> None:
    tried = 0
    for path in sorted(FOLDER.glob("*.yaml")):
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        for rule in document.get("rules") or []:
            says = [rule.get("alternative", ""), *(one["say"] for one in rule.get("instead", []))]
            if not any("{" in one for one in says):
                continue
            for text in rule["must_match"]:
                told = proposed(text).get(rule["id"])
                if told is None:
                    continue
                command = re.split(r", | to keep a copy| where \w+ knows that", told)[0]
                assert verdict(command) in ("allow", "warn"), (rule["id"], text, told)
                tried += 1
    assert tried > 150


def test_an_instead_that_is_no_form_is_told_with_its_place() -> None:
    pack = """pack: own
category: git
description: own
rules:
  - id: own.push
    argv: ["git push"]
    severity: warn
    min_trust: 1
    reason: why
    alternative: wait
    instead: [{when: "git push -f"}]
    must_match: ["git push", "git push origin"]
    must_pass: ["git pull", "git fetch"]
"""
    with pytest.raises(LawFault, match="`instead` has `when`"):
        load_packs({"guardrails/own.yaml": pack.encode()})
