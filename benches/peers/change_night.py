"""Makes one night of updates for a base that `shikaku synth` made.

usage: change_night.py FIRST_NIGHT_SUBSCRIBERS OUT RECORDS

Takes RECORDS members evenly over all subscriber files of the first night, gives each a changed address and writes them as
更新 (operation 2) under the next 受付番号, 100,000 to a file. Deterministic. The same number of records over bases of different
size shows whether a night's cost follows its records or the population.
"""

import sys
from pathlib import Path

FILE_ROWS = 100_000
OPERATION, ADDRESS, RECORD_NO = 2, 9, 1


def d_lines(path: Path) -> tuple[list[bytes], list[bytes]]:
    """Header fields and D lines of a CP932 file without quotes; no second byte of a pair is a comma."""
    lines = path.read_bytes().split(b"\r\n")
    return lines[0].split(b","), [line for line in lines if line.startswith(b"D,")]


def main() -> None:
    source, out, wanted = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    out.mkdir(parents=True, exist_ok=True)
    by_origin: dict[bytes, list[Path]] = {}
    total = 0
    for path in sorted(source.glob("SUB_*.csv")):
        header, lines = d_lines(path)
        by_origin.setdefault(header[3], []).append(path)
        total += len(lines)
    taken = seen = 0
    for origin, paths in sorted(by_origin.items()):
        picked, last = [], 0
        for path in paths:
            header, lines = d_lines(path)
            last = max(last, int(header[4]))
            for line in lines:
                seen += 1
                if seen * wanted // total > taken:
                    taken += 1
                    picked.append(line)
        for number, start in enumerate(range(0, len(picked), FILE_ROWS)):
            rows = picked[start : start + FILE_ROWS]
            receipt = last + 1 + number
            head = header[:4] + [b"%d" % receipt, b"20261113120000", b"%d" % len(rows)]
            body = [b",".join(head)]
            for record, line in enumerate(rows, 1):
                fields = line.split(b",")
                fields[RECORD_NO] = b"%d" % record
                fields[OPERATION] = b"2"
                fields[ADDRESS] = "東京都架空区転居町".encode("cp932") + b"%d" % record
                body.append(b",".join(fields))
            body.append(b"E,%d\r\n" % len(rows))
            (out / f"SUB_{origin.decode()}_20261113_{receipt}.csv").write_bytes(b"\r\n".join(body))
    print(f"{taken} of {total} members")


if __name__ == "__main__":
    main()
