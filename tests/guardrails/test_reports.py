"""Reports of work: what people would read passes, and what could be copied out of them and run is found, wherever it stands."""

from __future__ import annotations

import pytest

from guardhouse.guardrails import reports
from guardhouse.guardrails.text import Examined
from tests.effort import within
from tests.world import shipped_bundle

HARMLESS = {
    "markdown": """\
## Done

It's finished: the login form doesn't lose what was typed (see #482).

- moved `validate()` out of the view; it's in `forms/login.py` now
- [x] added a test for the user's second attempt
- [ ] follow-up: the "remember me" box isn't covered
1. First I looked at `git log`, then at the (rather long) stack trace.
2. Then I fixed it; 100% of the tests pass & nothing else changed!

> "Why wasn't this caught?" -- because nobody ran it with an empty cookie.

| file | change |
|------|--------|
| a.py | +12/-3 |
""",
    "fences": """\
Ran the suite:

```sh
$ cd services/api && pytest -q tests/test_login.py
............ [100%]
12 passed in 3.41s
$ git status --short
 M forms/login.py
```

and rebuilt it with

```console
user@host:~/app$ npm run build
> app@1.4.0 build
> vite build
```

```python
def total(items):
    return sum(item.price for item in items)  # don't round here
```

```json
{"status": "ok", "count": 3}
```
""",
    "diff": """\
diff --git a/forms/login.py b/forms/login.py
index 83db48f..bf2a1c3 100644
--- a/forms/login.py
+++ b/forms/login.py
@@ -10,7 +10,8 @@ class Login(Form):
-    if not self.cookie:
-        return None
+    if self.cookie is None:
+        raise Missing("the session's cookie")
     return self.user
""",
    "stack trace": """\
Traceback (most recent call last):
  File "/srv/app/forms/login.py", line 41, in submit
    user = self.find(name)
           ^^^^^^^^^^^^^^^
  File "/srv/app/users.py", line 12, in find
    return rows[0]["id"]
KeyError: 'id'

java.lang.NullPointerException: Cannot invoke "String.length()" because "<local1>" is null
\tat com.example.Login.submit(Login.java:41)
\tat com.example.Main.main(Main.java:7)
TypeError: Cannot read properties of undefined (reading 'id')
    at Object.<anonymous> (/srv/app/forms/login.js:10:5)
    at async Login.submit (/srv/app/login.js:3:1)
""",
    "other languages": "Fertig: die Prüfung läuft jetzt auch für leere Eingaben – siehe „Anmeldung“.\nГотово ✅ 👩‍💻\n完成しました。\n",  # noqa: RUF001  # other languages it is
    "brackets": "if the user (or admin) isn't logged in; then (see above) the `case` is closed)\nfor x in y: do; fi ((\n<<EOF\n",
    "variables": "$HOME is where it's kept; $5 a month.\n${NAME} is set by CI, $(date) isn't.\n",
    "long": "The run took a while, and here's what it said, line by line; nothing stood out.\n" * 1_200,
    "one long line": "It's done, and the rest is as it was (more or less). " * 1_800,
}
DESTRUCTIVE = ("rm -rf /", "git push --force origin main", "docker system prune -af --volumes", "DROP TABLE users;")
FORMS = {
    "a line": "{}",
    "a list point": "- {}",
    "a numbered point": "12. {}",
    "a task": "- [ ] {}",
    "a prompt": "$ {}",
    "a host's prompt": "root@db-1:/srv# {}",
    "a quotation": "> {}",
    "a quoted list point": "> - {}",
    "an added line": "+{}",
    "code in a line": "It's what I'd do: run `{}`, then it's gone.",
    "a fence": "```sh\n{}\n```",
    "a fence of another language": "```python\n{}\n```",
    "a fence with waves": "~~~\n$ {}\n~~~",
    "a fence nobody closes": "```\n{}",
    "behind an open quote": "don't forget that the user's\n{}\nit's needed",
    "behind broken shell": "if then fi ((\n{}\n))",
}


def found(text: str) -> list[tuple[str, str]]:
    """The rules that a report is caught by, and what they point at."""
    hits = shipped_bundle().packs.examine((Examined("result", text, "report"),))
    return [(one.rule, text[one.start : one.end]) for one in hits if one.severity != "log_only"]


@pytest.mark.parametrize("name", HARMLESS)
def test_c36_a_harmless_report_passes(name: str) -> None:
    assert found(HARMLESS[name]) == []


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("command", DESTRUCTIVE)
def test_c36_a_destructive_command_in_a_report_is_found_in_every_form(form: str, command: str) -> None:
    # Two statements of SQL read alike wherever they stand; a shell's list signs do not matter to them.
    hits = found(FORMS[form].format(command))
    assert hits, (form, command)
    assert any(command.rstrip(";")[:8] in where for _rule, where in hits), hits


@pytest.mark.parametrize("name", HARMLESS)
def test_c36_one_destructive_command_in_a_real_report_is_found_wherever_it_stands(name: str) -> None:
    report = HARMLESS[name]
    for at in (0, len(report) // 2, len(report)):
        cut = report.rfind("\n", 0, at) + 1 if at < len(report) else at
        text = report[:cut] + "\n\n```sh\nrm -rf /\n```\n" + report[cut:]
        assert [where for _rule, where in found(text) if "rm -rf /" in where], (name, at)


def test_c36_a_command_over_several_lines_is_found() -> None:
    assert found("Clean up with\n\n    rm \\\n      -rf \\\n      /\n\nand go on.")
    assert found("I ran this:\n\nDELETE\nFROM users;\n\nand it's clean now.")
    assert found("```sh\ncat <<'X' | bash\nrm -rf /\nX\n```")


PADDING = "\n".join(f"echo step {number} of the long build is fine" for number in range(230))
NOTES = "-- what this is for, and why\n" * 450


@pytest.mark.parametrize(
    "block",
    [
        f"```sh\na=rm\nb=-rf\n{PADDING}\n$a $b /\n```",
        f"```\na=rm\nb=-rf\n{PADDING}\n$a $b /\n```",
        f"```bash\nfor d in / ; do\n{PADDING}\n ls $d\ndone\n```",
        "```sh\na=rm\nb=-rf\n" + "ls\n" * 410 + "$a $b /\n```",
        f"```\n{PADDING}\ncat <<'X' | bash\nrm -rf /\nX\n```",
        f"DROP\n{NOTES}TABLE users;",
        f"```sql\nDELETE\n{NOTES}FROM users;\n```",
        f"```\nDELETE\n{NOTES}FROM users;\n```",
        f"```sql\nSELECT 1;\n{'SELECT 2 FROM t;' * 600}\nDELETE\nFROM users;\n```",
    ],
)
def test_c36_a_block_that_is_not_read_whole_is_never_passed_over(block: str) -> None:
    assert found(f"I ran this:\n\n{block}\n\nand it's clean now.")


def test_c36_a_long_block_of_output_passes() -> None:
    lines = "".join(
        f"tests/area_{one % 40}/test_{one}.py::test_case_{one} PASSED   [ {one % 100}%]\n" for one in range(180)
    )
    assert len(lines) > 8 * 1024
    for fence in ("```", "```text", "```console"):
        assert found(f"It's green:\n\n{fence}\n{lines}```\n") == []
    assert found(lines * 8) == []


COSTLY = {
    "conditions": "delete from t where a=1 or not c={} or d=e",
    "clients": "psql -c 'delete from t where a=1 or c={}'",
    "queries": "select a, b from t where a=1 and c={}",
    "deletions": "rm -rf a{}",
    "evaluations": 'eval "$x{}"',
    "code": "+    value_{0} = self.compute(items[{0}], key='k{0}') if flag else None",
}


@pytest.mark.parametrize("form", COSTLY)
@pytest.mark.parametrize("between", ["\n", " "])
def test_c36_no_report_costs_more_than_its_budget(form: str, between: str) -> None:
    """Against three times the promised 0.2 s of processor time; the first took 5.3 s."""
    frame = "{}" if between == "\n" else "`{}`"
    text = between.join(frame.format(COSTLY[form].format(number)) for number in range(6_400))[:100_000]
    packs = shipped_bundle().packs

    def examination() -> None:
        packs._made.clear()
        assert {one.rule for one in packs.examine((Examined("result", text, "report"),))} >= {"execution.unknown.text"}

    assert within(0.6, examination)


def test_c36_many_findings_of_one_sort_hide_none_of_another() -> None:
    noise = "".join(f"git stash drop stash@{{{number}}}\n" for number in range(80))
    assert len(found(noise)) == 50
    assert any("rm -rf /" in where for _rule, where in found(noise + "rm -rf /\n"))


def test_a_report_of_too_many_pieces_waits_for_a_person() -> None:
    many = "\n".join(f"line {number}" for number in range(reports.MOST_PIECES + 10))
    assert {rule for rule, _where in found(many)} == {"execution.unknown.text"}


@pytest.mark.parametrize("unit", ["`", "``` ", "# ", "- ", "PS ", "'", '"', "\\\n", "$ ", "> > ", "+-"])
def test_no_text_makes_taking_a_report_apart_slow(unit: str) -> None:
    assert within(5, lambda: list(reports.pieces(unit * (100_000 // len(unit)))), tries=2)


@pytest.mark.parametrize(
    "told",
    [
        "reboot the worker when its lease lapses",
        "Truncate the log table",
        "- halt the rollout if it fails",
        "1. format the disk, as this was agreed",
        "shutdown the old cluster after the move",
        "mkfs the new volume before it is mounted",
    ],
)
def test_a_sentence_that_begins_like_a_command_is_a_sentence(told: str) -> None:
    assert not found(told)
    # The same words marked as code, or with what only a command has, are read as one.
    fenced = f"```sh\n{told.lstrip('-1. ')}\n```"
    assert found(fenced) or found(f"`{told.lstrip('-1. ')}`") or told.startswith(("1.", "mkfs"))


@pytest.mark.parametrize(
    "told",
    [
        "reboot",
        "shutdown -h now",
        "DROP TABLE users;",
        "truncate table users",
        "drop table users\n\nthat is the end",
        "rm -rf ~ because the disk is full",
        "git push --force is what this needs",
        "$ reboot the",
        "DELETE FROM users -- that is the table",
    ],
)
def test_a_command_is_no_sentence_for_the_words_beside_it(told: str) -> None:
    assert found(told)
