"""Programs by the names that packages and images give them: `nixpkgs#git`, `rimraf@5`, `bitnami/kubectl:1.30`."""

from __future__ import annotations

import re

_KNOWN_AS = {
    "awscli": "aws", "aws-cli": "aws", "aws-cli-v2": "aws", "awscli2": "aws", "awscli-local": "aws", "gh-cli": "gh", "github-cli": "gh",
    "azure-cli": "az", "kubernetes-helm": "helm", "k8s-helm": "helm", "opentofu": "tofu", "google-cloud-sdk": "gcloud", "gitMinimal": "git",
    "gitFull": "git", "git-minimal": "git", "postgresql-client": "psql", "mysql-client": "mysql", "redis-tools": "redis-cli",
    "alpine-git": "git", "ansible-core": "ansible", "docker-cli": "docker", "rclone-rclone": "rclone", "mongodb-shell": "mongosh",
    "supabase-cli": "supabase", "firebase-tools": "firebase", "heroku-cli": "heroku", "vercel-cli": "vercel", "netlify-cli": "netlify",
    "flyctl": "fly", "doctl-cli": "doctl", "terraform-cli": "terraform", "python3Packages.awscli": "aws", "rimraf-cli": "rimraf",
}  # fmt: skip
"""Packages whose program is called otherwise than they are."""
_VERSION = re.compile(r"(?<=.)(?:@|==|~=|>=).*$|\[[\w,]*\]", re.S)
_MAJOR = re.compile(r"/v\d+$")


def program(text: str) -> str:
    """The program that a package's or an image's name most likely stands for; empty where it is a path."""
    name = text.rpartition("#")[2] if "#" in text else text
    if name.startswith((".", "/", "~", "-")) or "://" in name:
        return ""
    name = name.removeprefix("npm:").removeprefix("jsr:").removeprefix("docker.io/")
    scope, at, rest = name.rpartition("@")
    if at and scope and "/" not in rest:
        name = scope
    name = _MAJOR.sub("", _VERSION.sub("", name))
    name = name.rpartition("/")[2].partition(":")[0]
    name = (
        name.rpartition(".")[2] if name.startswith(("nixpkgs.", "pkgs.", "python3Packages.", "nodePackages.")) else name
    )
    return _KNOWN_AS.get(name, name)
