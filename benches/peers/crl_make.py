"""CRLs for the benchmark: python3 crl_make.py OUT ENTRIES FILES [CHANGED]

Writes OUT/ca.pem and OUT/set/*.crl: FILES lists with ENTRIES entries in all, each strictly valid, v2, RSA-2048 with
SHA-256, UTCTime, reasonCode on five of six entries, serials of 4 octets (some 35 bytes an entry). Needs `cryptography`.
Valid at 2026-10-31 07:00 JST (business date 2026-10-30). With CHANGED that many entries are replaced by others and the CRL
number is 2, for a second morning (business date 2026-10-31); the key of the first is used again.
"""
import datetime
import random
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID


def tlv(tag, *parts):
    body = b"".join(parts)
    n = len(body)
    if n < 128:
        return bytes([tag, n]) + body
    size = (n.bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + n.to_bytes(size, "big") + body


def integer(n):
    return tlv(2, n.to_bytes(n.bit_length() // 8 + 1, "big"))


def extension(oid, value, critical=False):
    return tlv(0x30, tlv(6, bytes.fromhex(oid)), b"\x01\x01\xff" if critical else b"", tlv(4, value))


ALGORITHM = tlv(0x30, tlv(6, bytes.fromhex("2a864886f70d01010b")), b"\x05\x00")
MORNINGS = [(b"261030213000Z", b"261031230000Z"), (b"261031213000Z", b"261101230000Z")]


def main(out, total, files, change):
    out = Path(out)
    (out / "set").mkdir(parents=True, exist_ok=True)
    secret = out / "key.pem"
    if secret.exists():
        key = serialization.load_pem_private_key(secret.read_bytes(), None)
    else:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        plain = serialization.NoEncryption()
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        secret.write_bytes(key.private_bytes(*form))
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Benchmark CA")])
    ski = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    ca = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    ca = ca.not_valid_before(datetime.datetime(2020, 1, 1)).not_valid_after(datetime.datetime(2045, 1, 1))
    ca = ca.add_extension(ski, False).add_extension(x509.BasicConstraints(True, None), True)
    (out / "ca.pem").write_bytes(ca.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    dice = random.Random(1)
    days = [tlv(0x17, f"26{m:02}{d:02}{h:02}1500Z".encode()) for m in range(1, 10) for d in range(1, 29) for h in (3, 9)]
    reasons = [tlv(0x30, extension("551d15", bytes([10, 1, code]))) for code in (1, 3, 4, 5, 6)] + [b""]
    serials = [0x01000000 + i * 200 + dice.randrange(200) for i in range(total)]
    left = set(dice.sample(range(total), change)) if change else set()
    update, following = MORNINGS[1 if change else 0]
    for f in range(files):
        own = [(serials[i] + (1 if i in left else 0), i) for i in range(f, total, files)]
        body = b"".join(
            b"0" + bytes([len(entry)]) + entry
            for entry in (integer(s) + days[i * 7919 % len(days)] + reasons[i % 6] for s, i in own)
        )
        point = tlv(0x30, tlv(0xA0, tlv(0xA0, tlv(0x86, f"http://crl.example.jp/{f:04}.crl".encode()))))
        extensions = tlv(
            0x30,
            extension("551d23", tlv(0x30, tlv(0x80, ski.digest))),
            extension("551d14", integer(2 if change else 1)),
            extension("551d1c", point, True),
        )
        validity = tlv(0x17, update), tlv(0x17, following)
        tbs = tlv(0x30, integer(1), ALGORITHM, name.public_bytes(), *validity, tlv(0x30, body), tlv(0xA0, extensions))
        signature = key.sign(tbs, padding.PKCS1v15(), hashes.SHA256())
        (out / "set" / f"{f:04}.crl").write_bytes(tlv(0x30, tbs, ALGORITHM, tlv(3, b"\0", signature)))


if __name__ == "__main__":
    change = int(sys.argv[4]) if len(sys.argv) > 4 else 0
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), change)
