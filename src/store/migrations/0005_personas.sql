-- Character cards that were imported, as they came.

CREATE TABLE persona_cards (
    -- The persona's key.
    key TEXT PRIMARY KEY,
    -- json, png or charx.
    format TEXT NOT NULL,
    file BLOB NOT NULL,
    made_at INTEGER NOT NULL
) STRICT;
