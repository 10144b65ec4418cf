-- The identity guard looks stored rows up by their key.
CREATE INDEX IF NOT EXISTS idx_media_assets_b2_key ON media_assets (b2_key);

-- New rows wait here, a chunk of JSON each, until one statement publishes all of a round.
-- WITHOUT ROWID: a chunk is one row written, not two.
CREATE TABLE IF NOT EXISTS media_ingest_chunks (
  run_id TEXT NOT NULL,
  seq INTEGER NOT NULL,
  payload TEXT NOT NULL,
  staged_at TEXT NOT NULL DEFAULT (datetime('now')),
  PRIMARY KEY (run_id, seq)
) WITHOUT ROWID;
