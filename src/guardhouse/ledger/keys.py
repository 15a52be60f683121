"""Signing keys: Ed25519, in one file that only its owner may read, shared by the processes of one deployment."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from guardhouse.errors import SettingsFault
from guardhouse.storage import private

_ED25519 = b"\x01"
"""The signature type of Ed25519 in C2SP signed notes."""

_BEGIN = b"-----BEGIN PRIVATE KEY-----"
SEPARATOR = "\u2014"
"""The em dash that begins a signature line of a signed note (c2sp.org/signed-note)."""


def unbase64(text: str) -> bytes:
    """The bytes of canonical base64; ValueError for any other writing of them, so that one proof has one form."""
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise ValueError("base64 that is not in its one form")
    return data


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key under its name: what an auditor needs, and all of it."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The four bytes that lead a signature: SHA-256(name, newline, type, key), cut (c2sp.org/signed-note)."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:4]

    @property
    def text(self) -> str:
        """The vkey form: `name+id+key`, as other tools for signed notes read it."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(_ED25519 + self.public).decode()}"

    @classmethod
    def parse(cls, text: str) -> Verifier:
        """Read the vkey form; ValueError when it is damaged."""
        name, key_id, key = text.strip().split("+", 2)
        data = unbase64(key)
        made = cls(name, data[1:])
        if data[:1] != _ED25519 or len(data) != 33 or made.key_id.hex() != key_id:
            raise ValueError("this verifier key is damaged")
        return made

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether a signature over a message is this key's."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Signer:
    """The private keys of a deployment, newest first. All of them sign, so that a rotation breaks no verifier."""

    keys: tuple[Ed25519PrivateKey, ...]

    @property
    def verifiers(self) -> tuple[Verifier, ...]:
        """The public side of every key, newest first."""
        return tuple(_verifier(key) for key in self.keys)

    def signed_note(self, text: str) -> str:
        """A text ending in a newline, with one signature line a key (c2sp.org/signed-note)."""
        if not text.endswith("\n"):
            raise ValueError("the text of a signed note ends in a newline")
        lines = []
        for key in self.keys:
            verifier = _verifier(key)
            signature = base64.b64encode(verifier.key_id + key.sign(text.encode())).decode()
            lines.append(f"{SEPARATOR} {verifier.name} {signature}\n")
        return text + "\n" + "".join(lines)


def _verifier(key: Ed25519PrivateKey) -> Verifier:
    public = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return Verifier(f"guardhouse-{hashlib.sha256(public).hexdigest()[:12]}", public)


def open_note(note: str, verifiers: tuple[Verifier, ...]) -> str:
    """The text of a signed note that at least one known key signed; ValueError otherwise.

    A signature by a known key that does not verify makes the whole note bad, as the specification asks.
    """
    text, split, signatures = note.rpartition("\n\n")
    if not split:
        raise ValueError("not a signed note")
    text += "\n"
    known = {(verifier.name, verifier.key_id): verifier for verifier in verifiers}
    good = 0
    for line in signatures.splitlines():
        dash, name, encoded = line.split(" ", 2)
        data = unbase64(encoded)
        verifier = known.get((name, data[:4]))
        if dash != SEPARATOR or len(data) < 5:
            raise ValueError("a signature line is damaged")
        if verifier is None:
            continue
        if not verifier.verifies(data[4:], text.encode()):
            raise ValueError(f"the signature of `{name}` does not verify")
        good += 1
    if not good:
        raise ValueError("no known key signed this note")
    return text


def _write(path: Path, keys: tuple[Ed25519PrivateKey, ...], *, new: bool) -> None:
    data = b"".join(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        for key in keys
    )
    private.folder(path.parent)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    handle = private.opened(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if new:
            os.link(temporary, path)
        else:
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load(path: Path, *, create: bool = True) -> Signer:
    """The keys in a file; made on first use. SettingsFault when others may read it or it holds no key."""
    try:
        return _loaded(path, create=create)
    except (OSError, ValueError, TypeError) as error:
        why = private.refused(error, path) if isinstance(error, OSError) else "it holds no readable Ed25519 key"
        raise SettingsFault(f"GUARDHOUSE_SIGNING_KEY_FILE: `{path}` cannot be used: {why}") from error


def _loaded(path: Path, *, create: bool) -> Signer:
    if not path.exists():
        if not create:
            raise SettingsFault(f"there is no signing key at `{path}`")
        # Another process of this deployment may be first; then its key is the key.
        with contextlib.suppress(FileExistsError):
            _write(path, (Ed25519PrivateKey.generate(),), new=True)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise SettingsFault(f"GUARDHOUSE_SIGNING_KEY_FILE: others may read the signing key; run `chmod 600 {path}`")
    keys = []
    for block in path.read_bytes().split(_BEGIN)[1:]:
        key = serialization.load_pem_private_key(_BEGIN + block, password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise SettingsFault(f"`{path}` holds a key that is not Ed25519")
        keys.append(key)
    if not keys:
        raise SettingsFault(f"`{path}` holds no signing key")
    return Signer(tuple(keys))


def rotate(path: Path) -> Signer:
    """Put a new key in front; the one before signs along with it, older ones end.

    The public side of a key that ends is kept beside the file, since its checkpoints must stay verifiable.
    """
    old = load(path, create=False)
    ended = [verifier.text for verifier in old.verifiers[1:]]
    if ended:
        with os.fdopen(private.opened(_retired(path), os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab") as file:
            file.write("".join(f"{text}\n" for text in ended).encode())
            file.flush()
            os.fsync(file.fileno())
    _write(path, (Ed25519PrivateKey.generate(), old.keys[0]), new=False)
    return load(path, create=False)


def _retired(path: Path) -> Path:
    return path.with_name(f"{path.name}.retired")


def verifiers(path: Path) -> tuple[Verifier, ...]:
    """The public side of every key that ever signed here, newest first: what verifying the whole past needs."""
    found = list(load(path, create=False).verifiers)
    retired = _retired(path)
    if retired.exists():
        found += [Verifier.parse(line) for line in reversed(retired.read_text(encoding="utf-8").split())]
    return tuple(dict.fromkeys(found))
