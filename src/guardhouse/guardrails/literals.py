"""Commands that stand in interpreter code as literals: for code that can start programs, by whatever call it does so."""

from __future__ import annotations

import re
import shlex

import re2

from guardhouse.guardrails import delimited

MOST_LITERALS = 60
_STARTS = re2.compile(
    r"\bsubprocess\b|\bos\s*\.\s*(?:system|popen|exec|spawn|posix_spawn)|posix_spawn|child_process|create_subprocess|\bpty\b|ctypes|Deno\.Command|Bun\.(?:\$|spawn)"
    r"|IO\.popen|Open3|\bKernel\b|\bsystem\b|\bspawn\w*\b|\bpopen\b|plumbum|\bfrom\s+sh\b|\bimport\s+sh\b|pexpect|\bfabric\b|\binvoke\b|paramiko|\bexec\w*\b"
)
"""What starts programs, looked for outside of texts: a text may speak of anything."""
_STARTS_IN_TEXT = re.compile(
    r"['\"](?:node:)?child_process['\"]|['\"](?:execa|shelljs|zx)['\"]"
    r"|\bopen\s*\(?\s*\w+\s*,\s*['\"]\s*(?:\||-\|)|\bopen\s*\(?\s*\w+\s*,\s*['\"][^'\"]*\|\s*['\"]"
)
_SHORTEST, _LONGEST = 4, 2000
_LIST = re.compile(r"""[\[(]\s*((?:(['"])[^'"\n]{1,200}\2\s*,\s*)+['"][^'"\n]{0,200}['"])\s*,?\s*[\])]""")
_APART = re.compile(r"""\(\s*['"]([\w/.-]+)['"]\s*,\s*(?:\{\s*)?(?:args\s*:\s*)?\[([^\]\n]{1,1000})\]""")
_CALLED = re.compile(
    r"""\b(?:(git)\.(\w+)|([a-z]+))\s*\(\s*((?:['"][^'"\n]{1,200}['"]\s*,\s*)*['"][^'"\n]{1,200}['"])\s*\)"""
)
_AS_FUNCTIONS = re.compile(r"\b(?:from|import)\s+(?:sh|git|plumbum)\b|\bplumbum\.cmd\b")
_CLOUD = re.compile(
    r"\b(terminate_\w+|delete_\w+|stop_\w+|schedule_key_deletion|put_bucket_(?:policy|acl)|deregister_\w+)\s*\("
)
_CLOUD_COMMAND = re.compile(r"\bnew\s+((?:Delete|Terminate|Stop|Deregister)[A-Z]\w+)Command\b")
_PROGRAMS = frozenset(
    ["rm", "git", "kubectl", "terraform", "tofu", "docker", "podman", "sudo", "dd", "chmod", "chown", "curl", "wget", "bash", "sh", "zsh", "psql", "mysql", "redis-cli", "aws",
     "gcloud", "az", "helm", "find", "mv", "shred", "truncate", "systemctl", "kill", "pkill", "killall", "npm", "cat", "cp", "scp", "rsync", "ssh", "nc", "mkfs", "wipefs", "reboot",
     "shutdown", "iptables", "crontab", "unlink", "gh", "twine", "cargo", "pulumi", "heroku", "fly", "dropdb", "mongosh", "tee", "rmdir", "powershell", "pwsh", "cmd", "gsutil", "tar"]
)  # fmt: skip


def commands(code: str) -> list[str]:
    """Shell commands that stand in this code as texts or lists of texts; none where it starts no programs."""
    made: list[str] = []
    if "boto3" in code or "aws-sdk" in code:
        made += [f"aws x {match[1].replace('_', '-')}" for match in _CLOUD.finditer(code)]
        made += [
            "aws x " + re.sub(r"(?<=[a-z])(?=[A-Z])", "-", match[1]).lower() for match in _CLOUD_COMMAND.finditer(code)
        ]
    if _AS_FUNCTIONS.search(code):
        for match in _CALLED.finditer(code):
            name = f"git {match[2]}" if match[1] else match[3]
            if match[1] or match[3] in _PROGRAMS:
                made.append(f"{name} {shlex.join(_texts(match[4]))}")
    if _STARTS_IN_TEXT.search(code) is None and _STARTS.search(delimited.without(code)) is None:
        return made[:MOST_LITERALS]
    behind = 0
    for start, end in delimited.pairs(code):
        if start < behind or not _SHORTEST <= end - start - 1 <= _LONGEST:
            continue
        behind = end + 1
        text = code[start + 1 : end].strip().strip("|").strip()
        first, blank, _rest = text.partition(" ")
        if blank and first.rpartition("/")[2] in _PROGRAMS:
            made.append(text)
    for match in _LIST.finditer(code):
        listed = _texts(match[1])
        if listed and listed[0].rpartition("/")[2] in _PROGRAMS:
            made.append(shlex.join(listed))
    for match in _APART.finditer(code):
        if match[1].rpartition("/")[2] in _PROGRAMS:
            made.append(shlex.join([match[1], *_texts(match[2])]))
    return made[:MOST_LITERALS]


def _texts(listed: str) -> list[str]:
    return delimited.said(listed)
