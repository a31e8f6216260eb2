-- The event table is the ledger: append only, each event carries the hash of the one before.
-- Every other table is a projection of it, which audit verify recomputes.
CREATE TABLE event (
    seq    BIGINT PRIMARY KEY,
    tx     BIGINT NOT NULL,
    kind   TEXT NOT NULL,
    body   TEXT NOT NULL,
    prev   TEXT NOT NULL,
    hash   TEXT NOT NULL
);
CREATE TABLE run (
    run_id        TEXT PRIMARY KEY,
    job           TEXT NOT NULL,
    business_date TEXT NOT NULL,
    parameters    TEXT NOT NULL,
    code_version  TEXT NOT NULL,
    config_digest TEXT NOT NULL,
    status        TEXT NOT NULL,
    set_id        BIGINT,
    started_at    TEXT NOT NULL,
    finished_at   TEXT,
    outcome       TEXT,
    error         TEXT
);
CREATE TABLE run_input (
    run_id         TEXT NOT NULL,
    sha256         TEXT NOT NULL,
    name           TEXT NOT NULL,
    kind           TEXT NOT NULL,
    origin         TEXT,
    receipt_no     BIGINT,
    bytes          BIGINT NOT NULL,
    state          TEXT NOT NULL,
    code           TEXT,
    rows_read      BIGINT NOT NULL,
    rows_accepted  BIGINT NOT NULL,
    rows_rejected  BIGINT NOT NULL,
    rows_duplicate BIGINT NOT NULL,
    landing        TEXT,
    landed_at      TEXT NOT NULL,
    PRIMARY KEY (run_id, sha256),
    CHECK (rows_read = rows_accepted + rows_rejected + rows_duplicate)
);
CREATE INDEX run_input_sha256 ON run_input (sha256);
CREATE INDEX run_input_origin ON run_input (origin, kind, receipt_no);
CREATE TABLE run_output (
    run_id         TEXT NOT NULL,
    path           TEXT NOT NULL,
    sha256         TEXT NOT NULL,
    bytes          BIGINT NOT NULL,
    rows           BIGINT,
    content_digest TEXT,
    table_name     TEXT,
    partition      TEXT,
    PRIMARY KEY (run_id, path)
);
CREATE TABLE rejection (
    run_id   TEXT NOT NULL,
    sha256   TEXT NOT NULL,
    code     TEXT NOT NULL,
    severity TEXT NOT NULL,
    count    BIGINT NOT NULL,
    PRIMARY KEY (run_id, sha256, code)
);
CREATE TABLE generation (
    table_name TEXT NOT NULL,
    partition  TEXT NOT NULL,
    set_id     BIGINT NOT NULL,
    dir        TEXT NOT NULL,
    run_id     TEXT NOT NULL,
    rows       BIGINT NOT NULL,
    content_digest TEXT NOT NULL,
    PRIMARY KEY (table_name, partition, set_id)
);
CREATE TABLE fact (
    name  TEXT NOT NULL,
    key   TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (name, key)
);
