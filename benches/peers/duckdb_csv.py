#!/usr/bin/env python3
"""Peers of `shikaku ingest subscribers`: the same CP932 subscriber CSVs to zstd Parquet, every field as text, unchecked.

    duckdb_csv.py DIR OUT.parquet [--engine duckdb|polars|both] [--repeat 3] [--threads 2]
    pip install duckdb polars pyarrow

DIR holds the files `SUB_*.csv` (H line, D lines, E line). All 35 fields of every D line go to the output; H and E lines
are read and dropped. Each repeat is a process of its own. Seconds and CPU are those of the one statement that reads and
writes, peak memory is the process's.

CP932 is the trouble:

* DuckDB reads it with the extension `encodings` only. `INSTALL encodings` needs its server; without it the wheel
  `duckdb-extension-encodings` of the same version will do (1.5.5 at the time of writing, none for 2.0). Of its many names
  `ibm-943_P15A-2003` fits best: `windows-932-2000` breaks ASCII, `shift_jis` lacks the NEC and IBM extensions. It turns
  0x5C into a yen sign, and a character across the border of two 32 MB buffers is lost (duckdb-encodings#19).
* So DuckDB gets the files in UTF-8 too, turned beforehand and untimed: `(utf-8)`, the work of decoding being a present.
* polars reads UTF-8 only.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FIELDS = 35  # `D` and the 34 fields of layout SUB 01


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--engine", choices=["duckdb", "polars", "both"], default="both")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", help=argparse.SUPPRESS)  # what a child does: the name of one of the functions below
    args = parser.parse_args()
    if args.one:
        return child(args)

    sources = sorted(args.dir.rglob("SUB_*.csv"))
    size = sum(f.stat().st_size for f in sources)
    print(f"{len(sources)} files, {size / 1e6:.1f} MB of CP932; load {os.getloadavg()[0]:.2f}")
    with tempfile.TemporaryDirectory(prefix="peers-") as scratch:
        turned = Path(scratch)
        start = time.perf_counter()
        for n, source in enumerate(sources):
            (turned / f"SUB_{n:05}.csv").write_bytes(source.read_bytes().decode("cp932").encode())
        print(f"turned into UTF-8 in {time.perf_counter() - start:.2f} s (not counted below)")
        runs = []
        if args.engine != "polars":
            native = has_encodings()
            runs += [("duckdb (cp932)", "duckdb_cp932", args.dir)] if native else []
            runs += [("duckdb (utf-8)", "duckdb_utf8", turned)]
        if args.engine != "duckdb":
            runs += [("polars (utf-8)", "polars_utf8", turned), ("polars stream (utf-8)", "polars_stream_utf8", turned)]
        print(f"{'engine':24}{'version':>9}{'rows':>10}{'seconds':>9}{'cpu s':>7}{'rows/s':>11}{'MB/s':>7}"
              f"{'peak MB':>9}{'out MB':>8}{'load':>6}")
        for name, one, where in runs:
            for _ in range(args.repeat):
                command = [sys.executable, __file__, where, args.out, "--threads", str(args.threads), "--one", one]
                environment = os.environ | {"POLARS_MAX_THREADS": str(args.threads)}
                done = subprocess.run(command, capture_output=True, env=environment)
                if done.returncode:
                    print(f"{name:24}  failed: {done.stderr.decode().strip().splitlines()[-1][:300]}")
                    break
                r = json.loads(done.stdout)
                rate, megabytes = r["rows"] / r["seconds"], size / 1e6 / r["seconds"]
                print(f"{name:24}{r['version']:>9}{r['rows']:>10}{r['seconds']:>9.2f}{r['cpu']:>7.2f}{rate:>11.0f}"
                      f"{megabytes:>7.0f}{r['peak_mb']:>9.0f}{r['out_mb']:>8.1f}{os.getloadavg()[0]:>6.2f}")


def child(args):
    """Runs one engine once and prints its figures as JSON."""
    args.out.unlink(missing_ok=True)
    prepare = ENGINES[args.one]
    run, version = prepare(args.dir, args.out, args.threads)
    before, start = os.times(), time.perf_counter()
    run()
    seconds, after = time.perf_counter() - start, os.times()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # before the rows are counted
    import pyarrow.parquet

    print(json.dumps({
        "version": version,
        "rows": pyarrow.parquet.ParquetFile(args.out).metadata.num_rows,
        "seconds": seconds,
        "cpu": after.user + after.system - before.user - before.system,
        "peak_mb": peak,
        "out_mb": args.out.stat().st_size / 1e6,
    }))


# ── engines: everything but the timed statement ──────────────────────────────────────────────────────────────────────


def connect():
    import duckdb

    try:  # the wheel duckdb-extension-encodings carries the extension; needed only where INSTALL has no network
        import duckdb_extension_encodings
        folder = Path(duckdb_extension_encodings.__file__).parent
        extension = next(folder.rglob("encodings.duckdb_extension"))
    except (ImportError, StopIteration):
        extension = "encodings"
    db = duckdb.connect()
    try:
        db.execute(f"LOAD '{extension}'")
        return db, True
    except duckdb.Error:
        return db, False


def has_encodings():
    return connect()[1]


def duckdb_with(encoding):
    def prepare(folder, out, threads):
        import duckdb

        db, _ = connect()
        db.execute(f"SET threads = {threads}")
        # 35 text columns; the shorter H and E lines are padded with NULL and filtered out.
        columns = ", ".join(f"'f{n:02}': 'VARCHAR'" for n in range(FIELDS))
        query = f"""
            COPY (SELECT * FROM read_csv('{folder}/**/SUB_*.csv', encoding = '{encoding}', header = false,
                                         auto_detect = false, delim = ',', quote = '"', escape = '"',
                                         columns = {{{columns}}}, null_padding = true)
                  WHERE f00 = 'D')
            TO '{out}' (FORMAT parquet, COMPRESSION zstd)"""
        return lambda: db.execute(query), duckdb.__version__
    return prepare


def polars_with(**collect):
    def prepare(folder, out, _threads):
        import polars as pl

        schema = {f"f{n:02}": pl.String for n in range(FIELDS)}
        # The H line is skipped, since polars takes the number of columns from the first line; E is padded and filtered out.
        lines = pl.scan_csv(f"{folder}/SUB_*.csv", has_header=False, skip_rows=1, schema=schema)
        lines = lines.filter(pl.col("f00") == "D")
        if collect:
            return lambda: lines.sink_parquet(out, compression="zstd"), pl.__version__
        return lambda: lines.collect().write_parquet(out, compression="zstd"), pl.__version__
    return prepare


ENGINES = {
    "duckdb_cp932": duckdb_with("ibm-943_P15A-2003"),
    "duckdb_utf8": duckdb_with("utf-8"),
    "polars_utf8": polars_with(),
    "polars_stream_utf8": polars_with(streaming=True),
}


if __name__ == "__main__":
    main()
