//! The texts that stand beside the files.

/// `shikaku.toml` of the folder: only what differs from the defaults.
pub const CONFIGURATION: &str = "\
# Synthetic sample: invented persons, an invented CA. Not for use with real data.
# Everything not named here has its default: lake, inbox and outbox stand beside this file.

[crl]
ca_files = [\"ca/sample-ca.pem\"]
";

/// `README.md` of the folder.
pub fn text(seed: u64, scale: &str, persons: u64, planted: bool) -> String {
    let errors = if planted { "with" } else { "without" };
    format!(
        "# Synthetic inputs

Made by the generator from scale `{scale}`, seed `{seed}`, {persons} persons, {errors} planted errors. The
same seed gives the same bytes. No real person, insurer or institution stands in here; the CA key follows from the seed
and is worthless.

| path | what it is |
|---|---|
| `shikaku.toml` | configuration, only what differs from the defaults |
| `ca/sample-ca.pem` | certificate that the CRLs are signed under |
| `nights/<date>/` | inputs of one business date; a CRL set is named by its day of issue |
| `rules/<code>.csv` | a small file that breaks one rule of the catalogue (sample only) |
| `rules/NOT_IN_ISOLATION.txt` | codes that no single small file can show, and why |
| `truth/files.csv` | what becomes of each file, and its counts; a quarantined file is not counted |
| `truth/records.csv` | every finding other than 000000; `record_no` counts D lines from 1, blank = the whole file |
| `truth/receipts.csv` | decision of each receipt; `outcome` blank = not applicable; `branch_no` for 04 and 09 only |
| `truth/serials.csv` | each serial after the last night; revoked ones keep their `link_no` |
| `truth/checks.csv` | accepted checks per day by insurer (`-` = unknown) and institution; blank `validity` = none |

Only `truth/files.csv` is written for scales other than `sample`.
"
    )
}
