-- Texts that were made shorter, by the SHA-256 of their source and of how. `used` orders them by their
-- last use; `body` is the text and its account as JSON.
CREATE TABLE distillations (
    key  BLOB PRIMARY KEY,
    used INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX distillations_by_use ON distillations (used);
