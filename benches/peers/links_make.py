"""Link files for the benchmark: python3 links_make.py OUT PERSONS CHANGES

Writes OUT/load/LNKP_*.csv: one link for each of PERSONS, in files of at most 10 million lines, in no order; and OUT/night/:
CHANGES records of a night in all four kinds (first issues with and without a person, their request map, reissues of serials
of the load). Serials have 8 octets.
"""
import random
import sys
from pathlib import Path

LINES = 10_000_000


def write(path, kind, origin, receipt, lines):
    with open(path, "w", encoding="ascii", newline="") as out:
        out.write(f"H,{kind},01,{origin},{receipt},20261030120000,{len(lines)}\r\n")
        for n, line in enumerate(lines, 1):
            out.write(f"D,{n},{line}\r\n")
        out.write(f"E,{len(lines)}\r\n")


def serial(n):
    # A bijection on 63 bits, so that serials are scattered and never collide.
    return f"{(n * 0x9E3779B97F4A7C15 & (1 << 63) - 1) | 1 << 63:x}"


def main(out, persons, changes):
    out = Path(out)
    for folder in ("load", "night"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for receipt, start in enumerate(range(0, persons, LINES), 1):
        lines = [f"{serial(i)},{1000 + i}" for i in range(start, min(start + LINES, persons))]
        write(out / "load" / f"LNKP_CHUKAN_20261030_{receipt}.csv", "LNKP", "CHUKAN", receipt, lines)
    dice = random.Random(1)
    quarter = changes // 4
    fresh = persons + 1000
    night = out / "night"
    first = [f"{serial(fresh + i)},{5_000_000_000 + i}" for i in range(quarter)]
    write(night / "LNKP_CHUKAN_20261031_9.csv", "LNKP", "CHUKAN", 1 + (persons + LINES - 1) // LINES, first)
    fresh += quarter
    by_request = [f"{serial(fresh + i)},{700000 + i}" for i in range(quarter)]
    write(night / "LNKR_JLIS_20261031_1.csv", "LNKR", "JLIS", 1, by_request)
    write(night / "REQM_CHUKAN_20261031_1.csv", "REQM", "CHUKAN", 1, [f"{700000 + i},{6_000_000_000 + i}" for i in range(quarter)])
    fresh += quarter
    old = dice.sample(range(persons), changes - 3 * quarter)
    write(night / "LNKU_CHUKAN_20261031_1.csv", "LNKU", "CHUKAN", 1, [f"{serial(fresh + i)},{serial(o)}" for i, o in enumerate(old)])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
