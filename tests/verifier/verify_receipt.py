"""Check a receipt, knowing only docs/auditing.md: verify_receipt.py VKEY… < RECEIPT"""

import base64
import hashlib
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def demand(truth, otherwise):
    if not truth:
        raise ValueError(otherwise)


def unbase64(text):
    data = base64.b64decode(text, validate=True)
    demand(base64.b64encode(data).decode() == text, "base64 in another form")
    return data


def checkpoint(note, vkeys):
    """(origin, size, root) of a note that a given key signed, and that no given key's signature contradicts."""
    text, blank, lines = note.rpartition("\n\n")
    demand(blank and lines.endswith("\n"), "not a signed note")
    keys, good = {tuple(vkey.split("+", 2)[:2]): unbase64(vkey.split("+", 2)[2]) for vkey in vkeys}, 0
    for line in lines[:-1].split("\n"):
        dash, name, signature = line.split(" ")
        data = unbase64(signature)
        demand(dash == "\u2014" and len(data) == 68, "a damaged signature line")
        key = keys.get((name, data[:4].hex()))
        if key is not None:
            demand(hashlib.sha256(name.encode() + b"\n" + key).digest()[:4] == data[:4], "a damaged key")
            Ed25519PublicKey.from_public_bytes(key[1:]).verify(data[4:], (text + "\n").encode())
            good += 1
    origin, size, root = (text + "\n").split("\n")[:3]
    demand(good and str(int(size)) == size, "no given key signed this")
    return origin, int(size), unbase64(root)


def receipt(text, vkeys):
    """The canonical bytes of the entry that a receipt proves to stand in the signed tree."""
    head, _, note = text.partition("\n\n")
    version, extra, index, *path = head.split("\n")
    _origin, size, root = checkpoint(note, vkeys)
    demand((version, extra[:6], index[:6]) == ("c2sp.org/tlog-proof@v1", "extra ", "index "), "not a receipt")
    body, place, last, used = unbase64(extra[6:]), int(index[6:]), size - 1, 0
    demand(str(place) == index[6:] and 0 <= place <= last, "no such place")
    current, steps = hashlib.sha256(b"\x00" + body).digest(), [unbase64(step) for step in path]
    while last:  # level by level; the last node of a level without a sibling goes up as it is
        if place % 2 or place < last:
            demand(used < len(steps), "the path is too short")
            pair = steps[used] + current if place % 2 else current + steps[used]
            current, used = hashlib.sha256(b"\x01" + pair).digest(), used + 1
        place, last = place // 2, last // 2
    demand(used == len(steps) and current == root, "the path does not lead to the signed root")
    return body


if __name__ == "__main__":
    print(receipt(sys.stdin.read(), sys.argv[1:]).decode())
