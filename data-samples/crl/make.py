#!/usr/bin/env python3
"""Makes the CRLs of this folder with another program than shikaku: OpenSSL's command line, and bytes by hand where it cannot.

    pip install cryptography; python3 make.py [OUT]     OUT: this folder. Wants `openssl` 3.0 or later

Three folders: `good` must be taken, `bad` has exactly one fault each, `odd` is well signed but unusual. `expected.tsv` says
what each is, which certificate must be configured, and the code of the fault or of the oddity.

Serial numbers, dates, names and the order of entries are fixed. Keys are made anew each time and never kept, so signatures,
key identifiers and the fingerprints of the certificates change with every run and nothing else does.

Now, for every file: 2026-10-31 07:00 JST = 2026-10-30 22:00:00Z. All of it is synthetic.
"""

import hashlib
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

THIS, NEXT = "20261030213000Z", "20261101210000Z"
NOW = "20261030220000Z"
CERT_FROM, CERT_TO = "20200101000000Z", "20450101000000Z"
URI = "http://crl.example.jp/"

SUBJECTS = {  # certificate file, without .pem: subject, key, digest of its own signature
    "ca-rsa2048": ("Fixture RSA CA", ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"], "sha256"),
    "ca-rsa2048-next": ("Fixture RSA CA", ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"], "sha256"),
    "ca-p256": ("Fixture P-256 CA", ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"], "sha256"),
    "ca-p384": ("Fixture P-384 CA", ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"], "sha384"),
    "ca-ed25519": ("Fixture Ed25519 CA", ["ED25519"], "default"),
    "unknown": ("Fixture Unknown CA", ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"], "sha256"),  # its certificate is not kept
}

WORK = Path()  # holds the private keys; a temporary folder, gone at the end
OUT = Path()
ROWS: list[tuple[str, ...]] = []


INSIDE = "high: nothing here is outside formats.md §4 or domain.md §4"


def note(file, ca, special, entries, code="-", why=INSIDE):
    ROWS.append((file, f"{ca}.pem", file.split("/")[0], special, str(entries), code, why))


def write(file, data):
    (OUT / file).write_bytes(data)


# ── what every list revokes ─────────────────────────────────────────────────────────────────────────────────────────


def octets(label, count):
    return hashlib.shake_256(label.encode()).digest(count)


def serials(label, count, first=1):
    """Positive serials of `first` octets and one more each, up to 20, then again. A first octet above 7F occurs below 20."""
    made = []
    for i in range(count):
        size = (first - 1 + i) % 20 + 1
        raw = bytearray(octets(f"{label} {i}", size))
        if size == 20:
            raw[0] &= 0x7F
        if size % 4 == 3:
            raw[0] |= 0x80
        raw[0] = raw[0] or 1
        made.append(int.from_bytes(raw, "big"))
    assert len(set(made)) == count
    return sorted(made)


def revoked_on(i):
    return f"202610{1 + i % 28:02}{i % 24:02}{i * 7 % 60:02}00Z"


# ── OpenSSL's command line ──────────────────────────────────────────────────────────────────────────────────────────


def openssl(*args):
    run = subprocess.run(["openssl", *args], capture_output=True, text=True, cwd=WORK, check=False)
    if run.returncode:
        sys.exit(f"openssl {' '.join(args)}\n{run.stderr}")


def make_ca(name):
    common, key, digest = SUBJECTS[name]
    (WORK / f"{name}.cnf").write_text(f"""
[ca]
default_ca = d
[d]
database = {name}.db
new_certs_dir = .
serial = {name}.serial
default_md = {digest}
policy = p
unique_subject = no
[p]
countryName = optional
organizationName = optional
commonName = supplied
[req]
distinguished_name = dn
prompt = no
[dn]
C = JP
O = Example
CN = {common}
[x]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
""")
    (WORK / f"{name}.db").write_text("")
    (WORK / f"{name}.serial").write_text("10" + octets(f"certificate {name}", 7).hex() + "\n")
    openssl("genpkey", "-algorithm", *key, "-out", f"{name}.key")
    openssl("req", "-new", "-utf8", "-config", f"{name}.cnf", "-key", f"{name}.key", "-out", f"{name}.csr")
    openssl(
        "ca",
        "-selfsign",
        "-batch",
        "-notext",
        "-config",
        f"{name}.cnf",
        "-keyfile",
        f"{name}.key",
        "-in",
        f"{name}.csr",
        "-startdate",
        CERT_FROM,
        "-enddate",
        CERT_TO,
        "-extensions",
        "x",
        "-out",
        f"{name}.pem",
    )
    if name.startswith("ca-"):
        write(f"{name}.pem", (WORK / f"{name}.pem").read_bytes())


# `openssl ca` writes invalidityDate only with keyTime and CAkeyTime, which stand for reasons 1 and 2.
REASONS = [
    "",
    "keyCompromise",
    "superseded",
    "certificateHold",
    "keyTime,20260915093000Z",
    "cessationOfOperation",
    "",
    "affiliationChanged",
    "certificateHold",
    "CAkeyTime,20260701000000Z",
    "superseded",
]

AKI = "authorityKeyIdentifier = keyid:always"
USERS = "onlyuser = TRUE"


def gencrl(name, ca, entries, number=1, md="sha256", aki=AKI, idp="", uris=None, more="", this=THIS, until=NEXT, options=(), v1=False):
    """One CRL by `openssl ca -gencrl`, as DER. Empty `aki`, `number` None or `idp` None leave that extension out."""
    rows = []
    for i, serial in enumerate(serials(name, entries)):
        text = f"{serial:x}".upper()
        reason = "" if v1 else REASONS[i % len(REASONS)]
        when = revoked_on(i)[2:] + ("," + reason if reason else "")
        rows.append(f"R\t300101000000Z\t{when}\t{'0' * (len(text) % 2)}{text}\tunknown\t/CN={i}\n")
    (WORK / "index").write_text("".join(rows))
    (WORK / "index.attr").write_text("unique_subject = no\n")
    if number is not None:
        (WORK / "number").write_text(f"{number:04X}\n")
    extensions = [aki, more]
    if idp is not None:
        extensions.append("issuingDistributionPoint = critical,@idp")
    (WORK / "gencrl.cnf").write_text(f"""
[ca]
default_ca = d
[d]
database = index
{"" if number is None else "crlnumber = number"}
default_md = {md}
certificate = {ca}.pem
private_key = {ca}.key
[crl]
{chr(10).join(extensions)}
[idp]
fullname = {",".join("URI:" + u for u in uris or [URI + name + ".crl"])}
{idp or ""}
""")
    openssl(
        "ca",
        "-gencrl",
        "-config",
        "gencrl.cnf",
        *(() if v1 else ("-crlexts", "crl")),
        "-crl_lastupdate",
        this,
        "-crl_nextupdate",
        until,
        *options,
        "-out",
        "made.pem",
    )
    openssl("crl", "-in", "made.pem", "-outform", "DER", "-out", "made.der")
    return (WORK / "made.der").read_bytes()


def by_openssl():
    # good
    def good(name, ca, entries, special, why=INSIDE, **how):
        write(f"good/{name}.crl", gencrl(name, ca, entries, **how))
        note(f"good/{name}.crl", ca, special, entries, why=why)

    good(
        "rsa-sha256",
        "ca-rsa2048",
        40,
        "RSA-2048, SHA-256, DER; serials of 1 to 20 octets twice; onlyContainsUserCerts",
        number=4097,
        idp=USERS,
    )
    good("rsa-sha384", "ca-rsa2048", 22, "RSA-2048, SHA-384", md="sha384", number=7)
    good("rsa-sha512", "ca-rsa2048", 22, "RSA-2048, SHA-512; CRLNumber 0; onlyContainsUserCerts", md="sha512", number=0, idp=USERS)
    good("p256-sha256", "ca-p256", 25, "ECDSA P-256, SHA-256; onlyContainsUserCerts", number=128, idp=USERS)
    good("p384-sha384", "ca-p384", 20, "ECDSA P-384, SHA-384; CRLNumber of 20 octets, the most allowed", md="sha384", number=2**159 - 1)
    good("p384-sha256", "ca-p384", 20, "ECDSA P-384 with SHA-256: curve and digest of different strength", number=3, idp=USERS)
    good(
        "rsa-sha256-next-key",
        "ca-rsa2048-next",
        20,
        "signed by the next key of the same CA name; only the AKI tells which",
        "high for this CA file or both; with ca-rsa2048.pem alone 400103 or 400102",
    )
    good("empty", "ca-p256", 0, "nothing revoked: no revokedCertificates element", number=9)
    good("this-update-is-now", "ca-p256", 10, "thisUpdate = now", "high: domain.md §4: thisUpdate ≤ now < nextUpdate", this=NOW)
    good(
        "noncritical-unknown-extension",
        "ca-p256",
        10,
        "a CRL extension nobody knows, not critical",
        "medium: RFC 5280 §5.2 lets it be ignored; formats.md §4 lists extensions but forbids no others",
        more="1.3.6.1.4.1.55555.1 = DER:0500",
    )

    for name, special in (
        ("rsa-sha256-pem", "PEM"),
        ("pem-text-before", "PEM after the text form (openssl crl -text)"),
        ("pem-crlf", "PEM with CRLF line ends"),
    ):
        (WORK / "pem.der").write_bytes(gencrl(name, "ca-rsa2048", 20, number=12, idp=USERS))
        openssl("crl", "-inform", "DER", "-in", "pem.der", *(["-text"] if "text" in name else []), "-out", "pem.pem")
        pem = (WORK / "pem.pem").read_bytes()
        write(f"good/{name}.crl", pem.replace(b"\n", b"\r\n") if "crlf" in name else pem)
        note(
            f"good/{name}.crl",
            "ca-rsa2048",
            special,
            20,
            why="high: formats.md §4, *.crl, DER or PEM" + ("; medium for the text, which RFC 7468 §2 allows" if "text" in name else ""),
        )

    # bad
    two = b"".join((OUT / f"good/{name}.crl").read_bytes() for name in ("rsa-sha256-pem", "pem-crlf"))
    write("bad/pem-two-crls.crl", two)
    note(
        "bad/pem-two-crls.crl",
        "ca-rsa2048",
        "PEM with two CRLs one after the other, each of them good and of 20 entries",
        40,
        "400101",
        "medium that it is refused, low that it is 400101: rules.md has one distribution point for a CRL; to read only the first loses 20 revocations unseen, as OpenSSL does",
    )

    def bad(name, special, code, why, ca="ca-rsa2048", signer=None, **how):
        write(f"bad/{name}.crl", gencrl(name, signer or ca, 10, **how))
        note(f"bad/{name}.crl", ca, special, 10, code, why)

    must_have = "formats.md §4: v2, with CRLNumber, AuthorityKeyIdentifier and IssuingDistributionPoint"
    bad(
        "v1",
        "version 1: no version field, no extensions",
        "400101",
        f"medium: {must_have}; 400109 (three of them missing) would be true too",
        v1=True,
        number=None,
    )
    bad(
        "delta",
        "deltaCRLIndicator, critical",
        "400108",
        "high: formats.md §4: Delta CRLs are refused with a clear error",
        number=5,
        more="2.5.29.27 = critical,DER:020104",
    )
    scope = "libraries.md §2 Traps: unknown critical extensions (IDP …) must be fatal; domain.md §4 knows full CRLs for one distribution point only. No sentence names this field"
    bad("idp-indirect", "IDP with indirectCRL TRUE", "400109", f"medium: {scope}", idp="indirectCRL = TRUE")
    bad("idp-only-ca-certs", "IDP with onlyContainsCACerts TRUE", "400109", f"medium: {scope}", idp="onlyCA = TRUE")
    bad("idp-only-attribute-certs", "IDP with onlyContainsAttributeCerts TRUE", "400109", f"medium: {scope}", idp="onlyAA = TRUE")
    bad(
        "idp-only-some-reasons",
        "IDP with onlySomeReasons",
        "400109",
        f"medium: {scope}",
        idp="onlysomereasons = keyCompromise,CACompromise",
    )
    bad("idp-missing", "no IssuingDistributionPoint", "400109", f"high: {must_have}", idp=None)
    # One list at two places: allowed by RFC 5280 §5.2.5, and known by the first of them.
    uris = [URI + "idp-two-uris.crl", "http://crl2.example.jp/idp-two-uris.crl"]
    write("good/idp-two-uris.crl", gencrl("idp-two-uris", "ca-rsa2048", 10, uris=uris))
    note("good/idp-two-uris.crl", "ca-rsa2048", "IDP whose fullName has two URIs", 10, why=must_have)
    bad("crl-number-missing", "no CRLNumber", "400109", f"high: {must_have}", number=None)
    bad("aki-missing", "no AuthorityKeyIdentifier", "400109", f"high: {must_have}", aki="")
    bad(
        "aki-issuer-serial-only",
        "AKI without keyIdentifier, only issuer and serial",
        "400109",
        "low: RFC 5280 §5.2.1 MUST use the key identifier; formats.md §4 asks only that an AKI is there. 400103 or accepting by name are defensible",
        aki="authorityKeyIdentifier = issuer:always",
    )
    bad(
        "unknown-critical-extension",
        "a critical CRL extension nobody knows",
        "400109",
        "high: libraries.md §2 Traps: unknown critical extensions must be fatal; the text of 400109",
        more="1.3.6.1.4.1.55555.1 = critical,DER:0500",
    )
    bad(
        "unknown-ca",
        "signed by a CA that is not configured (other name, other key)",
        "400103",
        "high: domain.md §4: every CRL verified against the configured CA certificate",
        signer="unknown",
    )
    current = "high: domain.md §4: in date (thisUpdate ≤ now < nextUpdate)"
    bad("expired", "nextUpdate the evening before now", "400104", current, this="20261028213000Z", until="20261030210000Z")
    bad("next-update-is-now", "nextUpdate = now", "400104", current, until=NOW)
    bad("not-yet-valid", "thisUpdate one second after now", "400104", current, this="20261030220001Z")
    weak = "formats.md §4: RSA or ECDSA signatures. No sentence names digests or paddings; RFC 5280 leaves them to profiles"
    bad("sha1-with-rsa", "sha1WithRSAEncryption", "400102", f"medium: {weak}", md="sha1")
    bad(
        "rsa-pss",
        "RSASSA-PSS with the key of ca-rsa2048, SHA-256, salt 32",
        "400102",
        f"medium: {weak}",
        options=["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"],
    )
    bad(
        "ed25519",
        "Ed25519",
        "400102",
        f"medium: {weak}. If ca-ed25519.pem is refused when the configuration is read (exit 2), configure ca-rsa2048.pem: then 400102 or 400103, whichever is seen first",
        ca="ca-ed25519",
        md="default",
    )


# ── bytes by hand ───────────────────────────────────────────────────────────────────────────────────────────────────

SHA256_RSA = bytes.fromhex("300d06092a864886f70d01010b0500")
SHA384_RSA = bytes.fromhex("300d06092a864886f70d01010c0500")
SHA256_ECDSA = bytes.fromhex("300a06082a8648ce3d040302")


def tlv(tag, *parts):
    body = b"".join(parts)
    if len(body) < 0x80:
        return bytes([tag, len(body)]) + body
    size = (len(body).bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + len(body).to_bytes(size, "big") + body


def long_length(encoded):
    """The same element with one octet more of length than DER allows."""
    head = 2 + (encoded[1] & 0x7F if encoded[1] & 0x80 else 0)
    size = len(encoded) - head
    octets_of_size = head - 2 + 1
    return bytes([encoded[0], 0x80 | octets_of_size]) + size.to_bytes(octets_of_size, "big") + encoded[head:]


def indefinite(encoded):
    head = 2 + (encoded[1] & 0x7F if encoded[1] & 0x80 else 0)
    return bytes([encoded[0], 0x80]) + encoded[head:] + b"\0\0"


def integer(value):
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def utc(when):
    return tlv(0x17, when[2:].encode())


def generalized(when):
    return tlv(0x18, when.encode())


def extension(oid, value, critical=False):
    return tlv(0x30, tlv(0x06, bytes.fromhex(oid)), b"\x01\x01\xff" if critical else b"", tlv(0x04, value))


def reason(code):
    return extension("551d15", bytes([0x0A, 1, code]))


def invalidity(when):
    return extension("551d18", generalized(when))


UNKNOWN = "2b0601040183b20302"  # 1.3.6.1.4.1.55555.2


def entry(serial, when, *extensions):
    """`serial` is a number, or the whole INTEGER as bytes; `when` a text, or the whole time as bytes."""
    return tlv(
        0x30,
        integer(serial) if isinstance(serial, int) else serial,
        utc(when) if isinstance(when, str) else when,
        tlv(0x30, *extensions) if extensions else b"",
    )


def plain_entries(name, count=10):
    """Ten entries; every reason that a user's certificate can have, with and without invalidityDate, and two with none."""
    codes = [1, None, 6, 4, 3, 5, None, 1, 9, 6]
    made = []
    for i, serial in enumerate(serials(name, count, first=4)):
        code = codes[i % len(codes)]
        extensions = [reason(code)] if code is not None else []
        if i % 3 == 0:
            extensions.append(invalidity(f"202609{1 + i:02}120000Z"))
        made.append(entry(serial, revoked_on(i), *extensions))
    return made


class Ca:
    def __init__(self, name):
        self.name = name
        self.certificate = x509.load_pem_x509_certificate((WORK / f"{name}.pem").read_bytes())
        self.key = serialization.load_pem_private_key((WORK / f"{name}.key").read_bytes(), None)
        self.subject = self.certificate.subject.public_bytes()
        self.key_id = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        self.algorithm = SHA256_RSA if isinstance(self.key, rsa.RSAPrivateKey) else SHA256_ECDSA

    def sign(self, tbs):
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(tbs, padding.PKCS1v15(), hashes.SHA256())
        return self.key.sign(tbs, ec.ECDSA(hashes.SHA256()))


def tbs(ca, name, entries, number=b"\x02\x01\x15", this=None, until=None, inner=None, more=b"", revoked=None):
    """`entries` None: no revokedCertificates. `revoked` replaces the whole element, `until` b"" leaves nextUpdate out."""
    if revoked is None:
        revoked = b"" if entries is None else tlv(0x30, *entries)
    idp = tlv(0x30, tlv(0xA0, tlv(0xA0, tlv(0x86, f"{URI}{name}.crl".encode()))))
    return tlv(
        0x30,
        integer(1),
        inner or ca.algorithm,
        ca.subject,
        utc(THIS) if this is None else this,
        utc(NEXT) if until is None else until,
        revoked,
        tlv(
            0xA0,
            tlv(
                0x30,
                extension("551d23", tlv(0x30, tlv(0x80, ca.key_id))),
                extension("551d14", number),
                extension("551d1c", idp, True),
                more,
            ),
        ),
    )


def seal(ca, body, outer=None, signer=None):
    return tlv(0x30, body, outer or ca.algorithm, tlv(0x03, b"\0", (signer or ca).sign(body)))


def by_hand():
    rsa_ca, p256, following = Ca("ca-rsa2048"), Ca("ca-p256"), Ca("ca-rsa2048-next")

    def bad(name, special, code, why, data, ca=p256, entries=10):
        write(f"bad/{name}.crl", data)
        note(f"bad/{name}.crl", ca.name, special, entries, code, why)

    def signed(name, ca=p256, entries=None, **how):
        return seal(ca, tbs(ca, name, plain_entries(name) if entries is None else entries, **how))

    # entries
    listed = "formats.md §4: entry extensions reasonCode and invalidityDate; the text of 400109"
    name = "unknown-critical-entry-extension"
    made = plain_entries(name)
    made[4] = entry(serials(name, 10, first=4)[4], revoked_on(4), reason(3), extension(UNKNOWN, b"\x05\x00", True))
    bad(name, "an entry with a critical extension nobody knows", "400109", f"high: {listed}; libraries.md §2 Traps", signed(name, entries=made))
    name = "certificate-issuer-entry-extension"
    made = plain_entries(name)
    issuer = tlv(0x30, tlv(0xA4, Ca("ca-p384").subject))
    made[4] = entry(serials(name, 10, first=4)[4], revoked_on(4), reason(3), extension("551d1d", issuer, True))
    bad(
        name,
        "an entry with certificateIssuer (critical), without indirectCRL in the IDP",
        "400109",
        f"high: {listed}",
        signed(name, entries=made),
    )

    # signature
    checked = "high: domain.md §4: every CRL verified against the configured CA certificate"
    name = "signature-of-another-crl"
    body, other = tbs(rsa_ca, name, plain_entries(name)), tbs(rsa_ca, "other", plain_entries("other"))
    bad(
        name,
        "the signature value is that of another CRL of the same CA",
        "400102",
        checked,
        tlv(0x30, body, SHA256_RSA, tlv(0x03, b"\0", rsa_ca.sign(other))),
        ca=rsa_ca,
    )
    name = "signed-by-next-key-aki-of-old"
    bad(
        name,
        "AKI names the key of ca-rsa2048, the signature is by ca-rsa2048-next (same name)",
        "400102",
        f"{checked}; with both certificates configured still 400102 if the AKI chooses, accepted if every certificate of the name is tried (medium)",
        seal(rsa_ca, tbs(rsa_ca, name, plain_entries(name)), signer=following),
        ca=rsa_ca,
    )
    name = "flipped-byte-in-entry"
    target = serials(name, 10, first=4)[5]
    whole = bytearray(seal(rsa_ca, tbs(rsa_ca, name, plain_entries(name))))
    whole[whole.index(integer(target)) + len(integer(target)) - 1] ^= 0x01
    bad(name, "one bit of a serial changed after signing; the structure is whole", "400102", checked, bytes(whole), ca=rsa_ca)
    name = "flipped-byte-in-signature"
    whole = bytearray(seal(rsa_ca, tbs(rsa_ca, name, plain_entries(name))))
    whole[-1] ^= 0x01
    bad(name, "one bit of the signature value changed", "400102", checked, bytes(whole), ca=rsa_ca)
    name = "inner-outer-algorithm-differ"
    bad(
        name,
        "TBS says sha384WithRSA, outside says sha256WithRSA, which is what signed",
        "400101",
        "medium that it is 400101 and not 400102 (high that it is refused): libraries.md §2 Traps: outer == inner signature algorithm; RFC 5280 §5.1.1.2 MUST",
        seal(rsa_ca, tbs(rsa_ca, name, plain_entries(name), inner=SHA384_RSA)),
        ca=rsa_ca,
    )

    # form
    form = "high: the text of 400101 and its source RFC 5280 §5; rules.md §6: any bytes end in a clear rejection"
    name = "truncated-by-one"
    bad(name, "the last byte is missing", "400101", form, signed(name)[:-1])
    name = "trailing-byte"
    bad(
        name,
        "one zero byte after the end",
        "400101",
        "medium: libraries.md §2 speaks of a strict walk; no sentence names trailing bytes, and OpenSSL takes it",
        signed(name) + b"\0",
    )
    ber = "high: RFC 5280 §5.1.1.3 signs the DER; libraries.md §2: strict DER walk"
    name = "ber-indefinite-length-outside"
    bad(name, "BER: the outermost SEQUENCE has indefinite length; the signed bytes are DER", "400101", ber, indefinite(signed(name)))
    name = "ber-indefinite-length-inside"
    bad(
        name,
        "BER: revokedCertificates has indefinite length, and is signed so",
        "400101",
        ber,
        signed(name, revoked=indefinite(tlv(0x30, *plain_entries(name)))),
    )
    name = "ber-non-minimal-length-outside"
    bad(name, "the outermost length has an octet too many; the signed bytes are DER", "400101", ber, long_length(signed(name)))
    name = "ber-non-minimal-length-in-entry"
    made = plain_entries(name)
    made[2] = long_length(made[2])
    bad(name, "the length of one entry is 81 nn where nn < 80, and is signed so", "400101", ber, signed(name, entries=made))
    name = "next-update-missing"
    bad(
        name,
        "no nextUpdate",
        "400101",
        "medium: RFC 5280 §5.1.2.5 MUST include; domain.md §4 now < nextUpdate cannot hold. 400104 is defensible",
        signed(name, until=b""),
    )
    twice = "RFC 5280 §4.2 (for CRLs by §5.2) allows one of each; no sentence of shared"
    name = "crl-number-twice"
    bad(
        name,
        "CRLNumber twice, 21 and 22",
        "400101",
        f"medium: {twice}; 400109 is defensible",
        signed(name, more=extension("551d14", b"\x02\x01\x16")),
    )
    name = "unknown-critical-extension-twice"
    bad(
        name,
        "a critical CRL extension nobody knows, twice",
        "400109",
        f"medium: libraries.md §2 Traps; {twice}, so 400101 is true as well, whichever is seen first",
        signed(name, more=extension(UNKNOWN, b"\x05\x00", True) * 2),
    )
    name = "crl-number-21-octets"
    bad(
        name,
        "CRLNumber of 21 octets",
        "400101",
        "low: RFC 5280 §5.2.3 MUST NOT be longer than 20; no sentence of shared; 400109 is defensible",
        signed(name, number=tlv(0x02, b"\x01" + octets(name, 20))),
    )

    # odd
    def odd(name, special, why, made, at_end=0, **how):
        write(f"odd/{name}.crl", signed(name, entries=made, **how))
        note(f"odd/{name}.crl", p256.name, special, len(made or []), "-", why)

    def changed(name, place, serial=None, when=None, extensions=()):
        made = plain_entries(name)
        made[place] = entry(serials(name, 10, first=4)[place] if serial is None else serial, when or revoked_on(place), *extensions)
        return made

    said = "high: rules.md: negative or > 20 octets: a counted oddity in CRLs"
    unsaid = "medium: no sentence of shared; to refuse it would stop the whole set (domain.md §4)"
    name = "duplicate-serial"
    made = plain_entries(name)
    made[5] = entry(serials(name, 10, first=4)[4], revoked_on(5), reason(4))
    odd(name, "one serial in two entries one after the other, with other dates and reasons (3, then 4)", unsaid, made)
    name = "unsorted-serials"
    made = plain_entries(name)
    odd(name, "serials in descending order", "high: RFC 5280 asks for no order", made[::-1])
    name = "negative-serial"
    odd(name, "one serial is -129 (FF 7F)", said, [entry(b"\x02\x02\xff\x7f", revoked_on(0), reason(1)), *plain_entries(name)[1:]])
    name = "serial-21-octets"
    odd(
        name, "one serial of 21 octets, the first 01", said, changed(name, 9, tlv(0x02, b"\x01" + octets(name, 20)), extensions=[reason(1)])
    )
    name = "serial-20-octets-high-bit"
    odd(
        name,
        "one serial of 20 octets with the high bit, so 21 octets of content, the first 00",
        "medium: rules.md counts > 20 octets; hex of the integer has 40 digits, so perhaps not odd at all",
        changed(name, 9, tlv(0x02, b"\0\xff" + octets(name, 19)), extensions=[reason(1)]),
    )
    name = "serial-non-minimal"
    odd(
        name,
        "one serial is 00 00 41: two octets too many",
        "low: not DER (X.690 §8.3.2); rules.md only says the input is normalised. Refusing it as 400101 is defensible, and OpenSSL does",
        changed(name, 0, b"\x02\x03\0\0\x41", extensions=[reason(1)]),
    )
    name = "serial-zero"
    odd(name, "one serial is 0", unsaid + "; hex without leading zeros leaves nothing or 0", changed(name, 0, 0, extensions=[reason(1)]))
    name = "generalized-time-in-entry"
    times = "RFC 5280 §5.1.2.4-6: UTCTime through 2049; no sentence of shared"
    odd(
        name,
        "one revocationDate is GeneralizedTime, 2026",
        f"medium: {times}",
        changed(name, 3, when=generalized(revoked_on(3)), extensions=[reason(1)]),
    )
    name = "generalized-time-in-this-update"
    odd(name, "thisUpdate is GeneralizedTime, 2026", f"low: {times}; 400101 is defensible", plain_entries(name), this=generalized(THIS))
    name = "reason-0"
    odd(
        name,
        "an entry with reasonCode 0 (unspecified)",
        "medium: RFC 5280 §5.3.1 SHOULD be absent",
        changed(name, 3, extensions=[reason(0)]),
    )
    name = "reason-8-in-full-crl"
    odd(
        name,
        "an entry with reasonCode 8 (removeFromCRL) in a full CRL",
        "low: RFC 5280 §5.3.1 only in delta CRLs; whether that serial counts as revoked is open",
        changed(name, 3, extensions=[reason(8)]),
    )
    name = "reason-7"
    odd(name, "an entry with reasonCode 7, which is not used", unsaid, changed(name, 3, extensions=[reason(7)]))
    name = "reason-11"
    odd(name, "an entry with reasonCode 11, which does not exist", unsaid, changed(name, 3, extensions=[reason(11)]))
    name = "revoked-certificates-empty"
    odd(name, "revokedCertificates is there and empty", "medium: RFC 5280 §5.1.2.6 MUST be absent then; no sentence of shared", [])
    name = "two-oddities-in-one"
    made = [entry(b"\x02\x01\x80", revoked_on(0), reason(0)), *plain_entries(name)[1:]][::-1]
    odd(name, "descending; serial -128 with reasonCode 0", said, made)


# ── what others say ─────────────────────────────────────────────────────────────────────────────────────────────────


def openssl_says(file, ca):
    data = (OUT / file).read_bytes()
    form = "DER" if data[0] == 0x30 else "PEM"
    base = ["openssl", "crl", "-inform", form, "-in", file, "-noout"]

    def run(*more):
        done = subprocess.run([*base, *more], capture_output=True, text=True, cwd=OUT, check=False, errors="replace")
        # OpenSSL's error lines begin with a thread number and have ten fields; reason and data are what stays the same
        errors = [
            " ".join(filter(None, (line.split(":")[i] for i in (4, 5, 9) if i < line.count(":") + 1))) if line.count("error:") else line
            for line in done.stderr.splitlines()
            if line.strip()
        ]
        return done, errors

    done, errors = run("-CAfile", ca)
    verify = f"exit {done.returncode}: {'; '.join(dict.fromkeys(errors))}"
    done, errors = run("-text")
    if done.returncode:
        text = f"exit {done.returncode}: {'; '.join(dict.fromkeys(errors))}"
    else:
        count = done.stdout.count("Serial Number:")
        text = f"exit 0, {count} entries" + (": " + "; ".join(dict.fromkeys(errors)) if errors else "")
    return verify, text


# Codes where the contract leaves the choice to us.
DECIDED = {
    "inner-outer-algorithm-differ": "400102",
    "duplicate-serial": "400121",
    "unsorted-serials": "400122",
    "negative-serial": "400123",
    "serial-21-octets": "400124",
    "serial-non-minimal": "400125",
    "generalized-time-in-entry": "400126",
    "generalized-time-in-this-update": "400126",
    "reason-0": "400127",
    "reason-7": "400127",
    "reason-8-in-full-crl": "400127",
    "reason-11": "400127",
    "revoked-certificates-empty": "400128",
    "two-oddities-in-one": "400122 400123 400127",
}


def main():
    global OUT, WORK
    warnings.simplefilter("ignore")
    OUT = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent).absolute()
    for folder in ("good", "bad", "odd"):
        (OUT / folder).mkdir(parents=True, exist_ok=True)
        for old in (OUT / folder).glob("*.crl"):
            old.unlink()
    with tempfile.TemporaryDirectory() as work:
        WORK = Path(work)
        for name in SUBJECTS:
            make_ca(name)
        by_openssl()
        by_hand()
    ROWS.sort(key=lambda row: (("good", "bad", "odd").index(row[2]), row[0]))
    head = ("file", "ca_file", "class", "special", "entries", "code")
    rows = [(*row[:5], DECIDED.get(Path(row[0]).stem, row[5])) for row in ROWS]
    (OUT / "expected.tsv").write_text("".join("\t".join(row) + "\n" for row in (head, *rows)))
    wrong = []
    for file, ca, kind, _, entries, *_ in ROWS:
        verify, text = openssl_says(file, ca)
        if kind == "good" and (verify != "exit 0: verify OK" or not text.startswith(f"exit 0, {entries} entries")):
            wrong.append(file)
    size = sum(f.stat().st_size for f in OUT.rglob("*") if f.is_file())
    print(f"{len(ROWS)} CRLs, {size:,} bytes with everything")
    if wrong:
        sys.exit(f"openssl does not verify: {wrong}")


if __name__ == "__main__":
    main()
