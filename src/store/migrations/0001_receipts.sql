-- What each prompt was made of. `body` is the receipt as JSON; it holds ids and sizes, no story text.
CREATE TABLE receipts (
    id   TEXT PRIMARY KEY,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
