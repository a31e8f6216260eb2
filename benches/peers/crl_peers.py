#!/usr/bin/env python3
"""What other programs take to read the CRLs that `shikaku ingest crl` reads.

    crl_peers.py --ca CA.pem [--runs N] [--only openssl|cryptography] FILE_OR_FOLDER…
    pip install cryptography; `openssl` on the path

A path is one CRL or a folder of *.crl, all DER. CA.pem may hold several certificates. For each path:

    openssl              openssl crl -inform DER -noout -CAfile CA -in F: parsed and verified, once for each file
    openssl, 2 at once   the same by `xargs -P2`, for a folder of two files or more
    cryptography         load_der_x509_crl, is_signature_valid, then every entry's serial number and revocation date
      with reasons       and its reasonCode

Each is a process of its own, started by the same small parent; the files are read once beforehand, so all find them in the
page cache. Wall time runs from start to end of that process, CPU is what the kernel counted for it and its children, peak
memory is the largest single process (two openssl at once take together up to twice that). Of several runs the fastest stands.
The first row of the table is a process that does nothing; its peak is what the kernel carries over from the parent, and no
row can be below it. OpenSSL's own lookup takes the first CA certificate of the right
name, whatever the AKI says, so CAs of one name cannot be measured in one call.

`openssl crl` ends with 0 when a signature is false, so its `verify OK` lines are counted instead. Nothing here checks dates,
CRL numbers or extensions, and nothing is sorted or written: less work than what it is compared with.

Exit code 0: every CRL verified, all ways saw the same entries. 1: not so. 2: usage.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# ── in the child ────────────────────────────────────────────────────────────────────────────────────────────────────


def read_all(ca, files, reasons):
    """Prints counts and the seconds of each step as JSON. `sum` is over serials: proof that every entry was read."""
    from cryptography import x509

    certificates = x509.load_pem_x509_certificates(Path(ca).read_bytes())
    step = {"load": 0.0, "verify": 0.0, "iterate": 0.0}
    verified = entries = total = latest = with_reason = 0
    for file in files:
        start = time.perf_counter()
        crl = x509.load_der_x509_crl(Path(file).read_bytes())
        loaded = time.perf_counter()
        verified += any(c.subject == crl.issuer and crl.is_signature_valid(c.public_key()) for c in certificates)
        checked = time.perf_counter()
        for entry in crl:
            total += entry.serial_number
            latest = max(latest, entry.revocation_date_utc.timestamp())
            entries += 1
            if reasons:
                try:
                    entry.extensions.get_extension_for_class(x509.CRLReason)
                    with_reason += 1
                except x509.ExtensionNotFound:
                    pass
        step["load"] += loaded - start
        step["verify"] += checked - loaded
        step["iterate"] += time.perf_counter() - checked
        del crl
    print(json.dumps({"verified": verified, "entries": entries, "sum": total % 2**64, "reasons": with_reason, "step": step}))


# ── measuring ───────────────────────────────────────────────────────────────────────────────────────────────────────


def measure(command, stdin=b""):
    """Output and cost of one process. Output goes to files: reading pipes would be work of the parent in between."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin)
        given.seek(0)
        start = time.perf_counter()
        process = subprocess.Popen(command, stdin=given, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        texts = out.read().decode(errors="replace"), err.read().decode(errors="replace")
    return {
        "wall": wall,
        "cpu": usage.ru_utime + usage.ru_stime,
        "rss": usage.ru_maxrss / 1024,  # Linux counts in KiB
        "code": process.returncode,
        "out": texts[0],
        "err": texts[1],
    }


def fastest(runs, command, stdin=b""):
    return min((measure(command, stdin) for _ in range(runs)), key=lambda r: r["wall"])


def by_openssl(ca, files, runs, at_once):
    names = b"".join(os.fsencode(f) + b"\0" for f in files)
    command = ["xargs", "-0", "-n1", f"-P{at_once}", "openssl", "crl", "-inform", "DER", "-noout", "-CAfile", ca, "-in"]
    if len(files) == 1:
        command, names = [*command[4:], str(files[0])], b""
    result = fastest(runs, command, names)
    result["verified"] = (result["out"] + result["err"]).count("verify OK")
    return result


def by_cryptography(ca, files, runs, reasons):
    names = json.dumps([str(f) for f in files]).encode()
    command = [sys.executable, __file__, "--child", "reasons" if reasons else "plain", "--ca", ca]
    result = fastest(runs, command, names)
    if result["code"]:
        sys.exit(f"cryptography: {result['err'].strip().splitlines()[-1]}")
    return result | json.loads(result["out"])


# ── the table ───────────────────────────────────────────────────────────────────────────────────────────────────────

HEAD = ("way", "files", "verified", "entries", "MB", "wall s", "CPU s", "peak MiB", "entries/s")


def row(way, files, size, result):
    entries = result.get("entries")
    return (
        way,
        f"{files:,}",
        f"{result['verified']:,}" if "verified" in result else "",
        f"{entries:,}" if entries is not None else "",
        f"{size / 1e6:.1f}",
        f"{result['wall']:.3f}",
        f"{result['cpu']:.3f}",
        f"{result['rss']:.1f}",
        f"{entries / result['wall']:,.0f}" if entries else "",
    )


def print_table(rows):
    width = [max(len(r[i]) for r in rows) for i in range(len(HEAD))]
    for r in rows:
        print("  ".join([r[0].ljust(width[0]), *(r[i].rjust(width[i]) for i in range(1, len(HEAD)))]).rstrip())


def crls_of(path, parser):
    files = sorted(path.glob("*.crl")) if path.is_dir() else [path]
    if not files:
        parser.error(f"{path}: no *.crl")
    size = 0
    for file in files:
        with file.open("rb") as f:  # in pieces: what the parent holds is the floor of every peak below
            if f.read(1) != b"\x30":
                parser.error(f"{file}: not DER")
            while f.read(1 << 20):
                pass
        size += file.stat().st_size
    return files, size


def main():
    parser = argparse.ArgumentParser(description="What other programs take to read CRLs.")
    parser.add_argument("--ca", required=True, help="PEM with the CA certificates")
    parser.add_argument("--runs", type=int, default=1, help="the fastest of so many stands")
    parser.add_argument("--only", choices=("openssl", "cryptography"))
    parser.add_argument("--child", choices=("plain", "reasons"), help=argparse.SUPPRESS)
    parser.add_argument("paths", nargs="*", type=Path)
    args = parser.parse_args()
    if args.child:
        read_all(args.ca, json.load(sys.stdin), args.child == "reasons")
        return
    if not args.paths or args.runs < 1:
        parser.error("at least one path and one run")
    if args.only != "cryptography" and not shutil.which("openssl"):
        parser.error("no openssl on the path")
    if args.only != "cryptography":
        print(subprocess.run(["openssl", "version"], capture_output=True, text=True, check=False).stdout.split("(")[0].strip())
    agree = True
    for path in args.paths:
        files, size = crls_of(path, parser)
        results = []
        if args.only != "cryptography":
            results.append(("openssl", by_openssl(args.ca, files, args.runs, 1)))
            if len(files) > 1:
                results.append(("openssl, 2 at once", by_openssl(args.ca, files, args.runs, 2)))
        if args.only != "openssl":
            results.append(("cryptography", by_cryptography(args.ca, files, args.runs, False)))
            results.append(("  with reasons", by_cryptography(args.ca, files, args.runs, True)))
        seen = {(r["entries"], r["sum"]) for _, r in results if "sum" in r}
        for _, result in results:
            if "entries" not in result and seen:
                result["entries"] = next(iter(seen))[0]  # openssl names no count without printing all
            agree &= result["verified"] == len(files)
        agree &= len(seen) < 2
        print(f"\n{path}")
        print_table(
            [HEAD, row("nothing", 0, 0, fastest(args.runs, ["true"])), *(row(w, len(files), size, r) for w, r in results)]
        )
        for way, result in results:
            if "step" in result:
                steps = ", ".join(f"{name} {seconds:.3f}" for name, seconds in result["step"].items())
                print(f"{way.strip()}: {steps} s" + (f"; {result['reasons']:,} reasons" if result["reasons"] else ""))
    if not agree:
        sys.exit("not every CRL verified, or the entries differ")


if __name__ == "__main__":
    main()
