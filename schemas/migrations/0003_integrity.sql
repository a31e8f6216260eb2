-- MAC of each event under the lake's chain key; none in a lake without keys.
ALTER TABLE event ADD COLUMN mac TEXT;
-- Order of runs, whatever the clock said, and the event that says what a run committed.
ALTER TABLE run ADD COLUMN started_seq BIGINT;
ALTER TABLE run ADD COLUMN commit_seq BIGINT;
-- Digest of a Parquet part's footer, which is compared whenever the part is opened.
ALTER TABLE run_output ADD COLUMN footer TEXT;
