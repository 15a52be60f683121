"""What a caller says of where it stands makes nothing harmless that is not, and everyday trees stay trees."""

from __future__ import annotations

import pytest

from guardhouse.guardrails.paths import believed
from guardhouse.guardrails.text import Examined
from tests.guardrails.packs import shipped

RANKS = {"log": 0, "warn": 1, "approval_required": 2, "block": 3}
NO_TREES = (
    *("/", "//", "/etc", "/etc/nginx", "/usr", "/usr/bin", "/home", "/home/dev", "~", "/root", "/opt", "/var/lib"),
    *("/srv/..", "/proc/self"),
)
TREES = (
    *("/home/dev/app", "~/code/app", "/root/app", "/app", "/workspace", "/srv/app", "/opt/app"),
    *("/usr/src/app", "/var/www/site", "/tmp/app", "/var/lib/jenkins/workspace/job", "/Users/dev/app", "/mnt/work/app"),
)
ON_THE_MACHINE = (
    "mv /etc /tmp/x",
    "cp evil /usr/bin/ls",
    "find /usr -delete",
    "rm -rf /etc",
    "rm -rf /home/dev",
    "rm -rf ~",
    "echo x > /etc/hosts",
    "chmod -R 777 /usr",
)


def rank(text: str, root: str) -> int:
    found = shipped().examine((Examined("t", text, "auto", root or "/srv/app", workspace_root=root),))
    return max((RANKS[one.severity] for one in found), default=0)


@pytest.mark.parametrize("root", NO_TREES)
def test_no_claimed_root_makes_a_place_of_the_machine_a_working_tree(root: str) -> None:
    assert not believed(root)
    for text in ON_THE_MACHINE:
        assert rank(text, root) >= min(rank(text, "/srv/app"), 2) > 0, text


@pytest.mark.parametrize("root", TREES)
def test_where_people_work_is_believed(root: str) -> None:
    assert believed(root)
    assert rank(f"echo x > {root}/notes.txt", root) == 0
    assert rank(f"rm -rf {root}/dist", root) == 0
