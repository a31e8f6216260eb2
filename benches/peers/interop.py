#!/usr/bin/env python3
"""Which other programs read a sealed lake, and how: a check that is also the manual.

    interop.py LAKE KEY_FILE [TABLES]     TABLES: the folder schemas/tables, to know what has to be sealed
    pip install pyarrow duckdb polars cryptography

A restricted table is Parquet with modular encryption: AES-256-GCM, one key for the whole file, no AAD prefix, the
footer sealed too, so that a file begins and ends with `PARE`. Each file has a data key of its own. The footer holds it
in clear text, wrapped by a master key, as the JSON of Parquet's key tools ("PKMT1"):

    {"keyMaterialType":"PKMT1", …, "masterKeyID":"k1", "wrappedDEK":"<base64>", "doubleWrapping":false}

    wrappedDEK = nonce (12 bytes) + AES-256-GCM (key: master key, plaintext: data key, AAD: masterKeyID) with its tag

The key file is JSON; `master` lists the master keys, id and base64. The ways to read, all tried on every file:

    kms      pyarrow finds the PKMT1 itself and asks a KmsClient to unwrap; Spark does the same
    pyarrow  unwrapped here, the data key goes to pyarrow
    polars   the data key goes to polars (an unstable option there)
    sql      DuckDB asks a pyarrow dataset that unwraps as `kms` does: whole tables, keys that differ by file
    duckdb   the data key goes to DuckDB's own reader, one read_parquet for each file. May refuse, see below

Every value is read (a bare count would only show that the footer opens). A file agrees when all ways give equal rows,
and a table agrees when their number is what the ledger says (LAKE/ledger.sqlite, table `generation`). Then every way is
tried with wrong keys and must refuse.

DuckDB's own reader (1.5.5 and 2.0.0) computes the AAD wrongly for a column with a Bloom filter, for a list or struct,
and for a column chunk of more than one data page (20,000 rows); it then says "Computed AES tag differs" although the key
is right. Such a refusal is counted, not blamed; reading something else would be. Use `sql` instead.

Exit code 0: all agree and all refuse. 1: not so. No key, no row and no message of an engine is printed.
"""

import base64
import json
import os
import sqlite3
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

import duckdb
import polars
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

# ── keys ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def master_keys(key_file):
    return {m["id"]: base64.b64decode(m["key"]) for m in json.loads(key_file.read_text())["master"]}


def unwrap(masters, master_id, wrapped_dek):
    """The data key. Raises InvalidTag when this master key did not wrap it."""
    sealed = base64.b64decode(wrapped_dek)
    return AESGCM(masters[master_id]).decrypt(sealed[:12], sealed[12:], master_id.encode())


def key_metadata(file):
    """The PKMT1 of a file. Its last 8 bytes are the length of the footer and `PARE`; the JSON stands in front of the
    sealed part of the footer, so it is looked for as text and no Thrift is needed."""
    with file.open("rb") as f:
        f.seek(-8, os.SEEK_END)
        length = int.from_bytes(f.read(4), "little")
        f.seek(-8 - length, os.SEEK_END)
        footer = f.read(length).decode("latin-1")
    return json.JSONDecoder().raw_decode(footer, footer.index('{"keyMaterialType":"PKMT1"'))[0]


def is_sealed(file):
    with file.open("rb") as f:
        return f.read(4) == b"PARE"


class Kms(pe.KmsClient):
    """Stands where a key server would: pyarrow calls it with what it found in a footer."""

    def __init__(self, masters):
        super().__init__()
        self.masters = masters

    def unwrap_key(self, wrapped_key, master_key_identifier):
        return unwrap(self.masters, master_key_identifier, wrapped_key)

    def wrap_key(self, key_bytes, master_key_identifier):
        raise NotImplementedError("this program only reads")


# ── ways to read: a file and keys in, an Arrow table out ────────────────────────────────────────────────────────────


def by_kms(file, masters, _data_key):
    factory = pe.CryptoFactory(lambda _config: Kms(masters))
    properties = factory.file_decryption_properties(pe.KmsConnectionConfig(), pe.DecryptionConfiguration())
    return pq.ParquetFile(file, decryption_properties=properties).read()


def by_pyarrow(file, _masters, data_key):
    return pq.ParquetFile(file, decryption_properties=pe.create_decryption_properties(data_key)).read()


def by_polars(file, _masters, data_key):
    properties = polars.ParquetDecryptionProperties(footer_key=data_key)
    return polars.scan_parquet(file, decryption=properties, hive_partitioning=False).collect().to_arrow()


def by_sql(files, masters, _data_key):
    factory = pe.CryptoFactory(lambda _config: Kms(masters))
    config = ds.ParquetDecryptionConfig(factory, pe.KmsConnectionConfig(), pe.DecryptionConfiguration())
    options = ds.ParquetFragmentScanOptions(decryption_config=config)
    lake_table = ds.dataset(files, format=ds.ParquetFileFormat(default_fragment_scan_options=options))
    with duckdb.connect() as db:
        db.register("lake_table", lake_table)
        return db.sql("SELECT * FROM lake_table").to_arrow_table()


def by_duckdb(file, _masters, data_key):
    with duckdb.connect() as db:
        db.execute(f"PRAGMA add_parquet_key('part', '{base64.b64encode(data_key).decode()}')")
        relation = "read_parquet(?, encryption_config = {footer_key: 'part'}, hive_partitioning = false)"
        return db.sql(f"SELECT * FROM {relation}", params=[str(file)]).to_arrow_table()


WAYS = {"kms": by_kms, "pyarrow": by_pyarrow, "polars": by_polars, "sql": by_sql}  # must agree
OWN_READER = {"duckdb": by_duckdb}  # must agree where it does not refuse

# ── the check ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Table:
    """What became of the files of one table."""

    def __init__(self):
        self.files = 0
        self.in_ledger = 0
        self.rows = dict.fromkeys(WAYS, 0)
        self.by_duckdb = 0
        self.faults = []

    def read(self, file, masters):
        self.files += 1
        material = key_metadata(file)
        try:
            data_key = unwrap(masters, material["masterKeyID"], material["wrappedDEK"])
        except (InvalidTag, KeyError):
            self.faults.append(f"{file}: no key of the key file opens it")
            return
        expected = None
        for way, read in (WAYS | OWN_READER).items():
            try:
                got = read(file, masters, data_key)
            except Exception as e:
                if way in WAYS:
                    self.faults.append(f"{file}: {way} cannot read it ({type(e).__name__})")
                continue
            expected = got if expected is None else expected
            # Engines differ in the width of strings and the unit of timestamps, not in values.
            if not got.cast(expected.schema).equals(expected):
                self.faults.append(f"{file}: {way} reads other values")
            if way in WAYS:
                self.rows[way] += got.num_rows
            else:
                self.by_duckdb += 1

    def refuse(self, file):
        """No way may read it with keys that are wrong."""
        material = key_metadata(file)
        wrong = {material["masterKeyID"]: os.urandom(32)}
        for way, read in (WAYS | OWN_READER).items():
            try:
                read(file, wrong, os.urandom(32))
                self.faults.append(f"{file}: {way} read it with a wrong key")
            except Exception:
                pass

    def judge(self, name):
        if any(rows != self.in_ledger for rows in self.rows.values()):
            self.faults.append(f"{name}: rows are not as the ledger says")


def rows_in_ledger(lake):
    """Rows by folder, such as `member/layer=delta/gen=000003`."""
    with sqlite3.connect(f"file:{lake / 'ledger.sqlite'}?mode=ro", uri=True) as ledger:
        return dict(ledger.execute("SELECT dir, rows FROM generation"))


def restricted_tables(folder):
    declared = (tomllib.loads(f.read_text("utf-8")) for f in folder.glob("*.toml"))
    return {table["name"] for table in declared if table["restricted"]}


def main(lake, key_file, schemas=None):
    masters = master_keys(key_file)
    files = [f for f in sorted(lake.glob("*/**/*.parquet")) if f.relative_to(lake).parts[0] != "_staging"]
    sealed = [f for f in files if is_sealed(f)]
    name_of = {f: f.relative_to(lake).parts[0] for f in files}
    restricted = restricted_tables(schemas) if schemas else set()

    tables = defaultdict(Table)
    for file in sealed:
        tables[name_of[file]].read(file, masters)
        tables[name_of[file]].refuse(file)
    for folder, rows in rows_in_ledger(lake).items():
        if (name := folder.split("/")[0]) in tables.keys() | restricted:
            tables[name].in_ledger += rows

    print(f"{'table':20}{'files':>6}{'ledger':>10}" + "".join(f"{way:>10}" for way in WAYS) + "   duckdb itself")
    for name, table in sorted(tables.items()):
        table.judge(name)
        counts = "".join(f"{rows:>10}" for rows in table.rows.values())
        print(f"{name:20}{table.files:>6}{table.in_ledger:>10}{counts}   {table.by_duckdb} of {table.files} files")

    faults = [fault for table in tables.values() for fault in table.faults]
    if not sealed:
        faults.append("nothing is sealed: was the lake made with --no-keys?")
    faults += [f"{f}: restricted, yet in clear" for f in files if f not in sealed and name_of[f] in restricted]
    if schemas:
        print(f"{sum(t.files > 0 for t in tables.values())} of {len(restricted)} restricted tables hold files")
    for fault in faults:
        print(f"FAULT {fault}")
    if not faults:
        print(f"{len(sealed)} files: every way agrees, every wrong key is refused")
    return 1 if faults else 0


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    sys.exit(main(*map(Path, sys.argv[1:])))
