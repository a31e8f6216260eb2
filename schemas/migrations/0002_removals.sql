-- Files and generations that a later run removed: converted 処理通番, superseded CRL generations. The row stays as evidence.
ALTER TABLE run_output ADD COLUMN removed_by TEXT;
ALTER TABLE generation ADD COLUMN removed_by TEXT;
