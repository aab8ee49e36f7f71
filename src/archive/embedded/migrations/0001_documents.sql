-- What holds for the whole archive: who made its vectors, and a number that grows with each change.
CREATE TABLE archive (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    embedder TEXT,
    change INTEGER NOT NULL
) STRICT;
INSERT INTO archive (only, embedder, change) VALUES (1, NULL, 0);

-- A document has a path and a body once it is published; before, it is only a place for chunks.
CREATE TABLE documents (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    file_path TEXT UNIQUE,
    body TEXT,
    -- Seconds since 1970, when the newest chunk was staged.
    staged_at INTEGER NOT NULL,
    CHECK ((file_path IS NULL) = (body IS NULL))
) STRICT;

-- Vectors are in half precision, little-endian, the components one after the other.
CREATE TABLE chunks (
    document INTEGER NOT NULL REFERENCES documents (number) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    text TEXT NOT NULL,
    byte_start INTEGER NOT NULL,
    char_start INTEGER NOT NULL,
    vector BLOB NOT NULL,
    PRIMARY KEY (document, position)
) STRICT;

-- The directions of a chunk's sentences, in eight bits a component.
CREATE TABLE sentences (
    document INTEGER NOT NULL,
    position INTEGER NOT NULL,
    dimensions INTEGER NOT NULL,
    vectors BLOB NOT NULL,
    PRIMARY KEY (document, position),
    FOREIGN KEY (document, position) REFERENCES chunks (document, position) ON DELETE CASCADE
) STRICT;
