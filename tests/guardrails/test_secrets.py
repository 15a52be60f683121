"""What is a secret by where it stands is cut before anything is recorded, and nothing else is."""

from __future__ import annotations

import pytest

from tests.guardrails.packs import shipped

CARRIED = (
    "mysql -u root -p{} -e 'select 1'",
    "mysqldump -uapp -p'{}' shop",
    "curl -u admin:{} https://example.com",
    "curl -sSfu 'ci:{}' https://example.com",
    "wget --user me --password {} https://example.com",
    "sshpass -p {} ssh web uptime",
    "sshpass -p'{}' scp a web:",
    "docker login -u me -p {} registry.example.com",
    "twine upload -u __token__ -p {} dist/x.whl",
    "redis-cli -h cache -a {} ping",
    "redis://:{}@cache:6379/0",
    "postgres://app:{}@db.example.com/x",
    "PGPASSWORD={} psql -h db",
    "DB_PASSWORD='{}' ./run",
    "DB_PASSWORD='{} and three words' ./run",
    "export GITHUB_TOKEN={}",
    "TOKEN={} ./run",
    "tool --token {}",
    "tool --token={}",
    "tool --db-password '{}'",
    "tool --client-secret={}",
    "kubectl config set-credentials me --token={}",
    "kubectl create secret generic x --from-literal=pw={}",
    "aws configure set aws_secret_access_key {}",
    "curl -H 'Cookie: session={}' https://example.com",
    "curl -H 'Authorization: token {}xxxx' https://example.com",
    "gh auth login --with-token <<< {}",
    "echo {} | sudo -S ls",
)
SECRETS = ("S3cr3tPassw0rd", "a1b2c3d4e5f6a7b8c9d0")


@pytest.mark.parametrize("carried", CARRIED)
def test_a_secret_is_cut_wherever_programs_take_one(carried: str) -> None:
    for secret in SECRETS:
        text = carried.format(secret)
        kept = shipped().redact({"command": [text]})["command"][0]
        assert secret not in kept
        assert kept.startswith(text[:4])
        # What was cut once is not cut again: entries, explanations and rows of `wrong` say the same.
        assert shipped().redact(kept) == kept


@pytest.mark.parametrize(
    "text",
    [
        "docker login -u me --password-stdin registry.example.com",
        "docker run -p 8080:80 -u 1000:1000 nginx",
        'curl -u "$USER:$PASSWORD" https://example.com',
        'tool --token $TOKEN --password "$PW"',
        "export GITHUB_TOKEN",
        "TOKEN=$(cat token.txt) ./run",
        "PASSWORD=${PASSWORD:-} ./run",
        "kubectl create configmap x --from-literal=colour=green",
        "mysql -u root -p shop",
        "docker build --secret id=npm,src=.npmrc .",
        "git commit -m 'Ask for a password before the token is shown'",
        "grep -rn 'token' src",
        "cookie: the browser keeps it",
        "exception:person_token:per_00000000000000000000000011",
        "app --password-file pw.txt",
        "https://example.com:8443/path@2",
        "ssh://git@github.com/a/b",
    ],
)
def test_what_only_names_a_secret_is_kept_whole(text: str) -> None:
    assert shipped().redact(text) == text
