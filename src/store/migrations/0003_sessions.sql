-- Talks. Messages form a tree: a swipe, an edit or a branch is another child of the same parent.

CREATE TABLE sessions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- What the client calls it: any text. Sessions that were recognised by their messages have a name
    -- that was made for them.
    name TEXT NOT NULL UNIQUE,
    is_recognised INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    used_at INTEGER NOT NULL,
    -- The newest message of the path that was last talked on.
    tip INTEGER,
    persona TEXT,
    -- Whether it was set by hand; then the client's first system message doesn't replace it.
    persona_is_set INTEGER NOT NULL DEFAULT 0,
    -- What of a lorebook lasts from turn to turn, as JSON.
    lore_timers TEXT
) STRICT;

CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    session INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    parent INTEGER REFERENCES messages (id) ON DELETE CASCADE,
    -- How many messages lie before it on its path.
    depth INTEGER NOT NULL,
    -- Hash of the message alone, and of the whole path up to it.
    own BLOB NOT NULL,
    chain BLOB NOT NULL,
    role TEXT NOT NULL,
    speaker TEXT,
    text TEXT NOT NULL,
    -- Whether the answer ended before the model ended it.
    interrupted INTEGER NOT NULL DEFAULT 0,
    said_at INTEGER NOT NULL,
    emotion TEXT NOT NULL,
    confidence REAL NOT NULL,
    importance REAL NOT NULL,
    pinned INTEGER NOT NULL DEFAULT 0,
    forgotten INTEGER NOT NULL DEFAULT 0,
    -- What it should have said, by hand; recall tells this.
    corrected TEXT,
    -- Whether its session was recognised, so that others are recognised by it.
    is_recognised INTEGER NOT NULL,
    -- Whether `message_vectors` has those of the embedder in `embedded_by`.
    has_vectors INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE UNIQUE INDEX messages_by_chain ON messages (session, chain);
CREATE INDEX messages_by_text ON messages (session, own);
CREATE INDEX messages_by_session ON messages (session);
CREATE INDEX messages_recognised_by_chain ON messages (chain) WHERE is_recognised;
CREATE INDEX messages_recognised_by_text ON messages (own) WHERE is_recognised;
CREATE INDEX messages_by_parent ON messages (parent);
CREATE INDEX messages_pinned ON messages (session) WHERE pinned;
CREATE INDEX messages_bare ON messages (session) WHERE NOT has_vectors AND NOT forgotten;

-- One row: the embedder that is in use.
CREATE TABLE embedded_by (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    embedder TEXT NOT NULL
) STRICT;

CREATE TABLE message_vectors (
    message INTEGER PRIMARY KEY REFERENCES messages (id) ON DELETE CASCADE,
    -- The embedder that made it; vectors of different ones are never compared.
    embedder TEXT NOT NULL,
    -- 16-bit floats, little-endian: of the message, and of it together with the one before.
    turn BLOB NOT NULL,
    window BLOB NOT NULL
) STRICT;

-- What recall and search tell of a message.
CREATE VIEW messages_told AS
    SELECT id, coalesce(corrected, text) AS text FROM messages WHERE NOT forgotten;

-- The words of `messages_told`: of what was corrected the new ones alone, of what was forgotten none.
CREATE VIRTUAL TABLE message_words USING fts5 (
    text, content = 'messages_told', content_rowid = 'id', tokenize = 'porter unicode61'
);
-- What is taken out leaves the index at once, not with some later merge.
INSERT INTO message_words (message_words, rank) VALUES ('secure-delete', 1);
CREATE TRIGGER message_words_in AFTER INSERT ON messages WHEN NOT new.forgotten BEGIN
    INSERT INTO message_words (rowid, text) VALUES (new.id, coalesce(new.corrected, new.text));
END;
CREATE TRIGGER message_words_out AFTER DELETE ON messages WHEN NOT old.forgotten BEGIN
    INSERT INTO message_words (message_words, rowid, text)
        VALUES ('delete', old.id, coalesce(old.corrected, old.text));
END;
CREATE TRIGGER message_words_changed AFTER UPDATE OF text, corrected, forgotten ON messages BEGIN
    INSERT INTO message_words (message_words, rowid, text)
        SELECT 'delete', old.id, coalesce(old.corrected, old.text) WHERE NOT old.forgotten;
    INSERT INTO message_words (rowid, text)
        SELECT new.id, coalesce(new.corrected, new.text) WHERE NOT new.forgotten;
END;

CREATE TABLE summaries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    session INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    -- 0 tells messages; each level above tells summaries of the one below.
    level INTEGER NOT NULL,
    -- The range of the path that it tells, both ends included.
    first_depth INTEGER NOT NULL,
    last_depth INTEGER NOT NULL,
    -- Its place in the tree: it belongs to the paths that lead through this message.
    last_message INTEGER NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    text TEXT NOT NULL,
    tokens INTEGER NOT NULL,
    account TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    UNIQUE (last_message, level, first_depth)
) STRICT;
-- All that is asked of them for a turn.
CREATE INDEX summaries_by_session
    ON summaries (session, first_depth, level, id, last_depth, last_message);

CREATE TABLE facts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    session INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    text TEXT NOT NULL,
    -- The message it was learnt from, if any; it holds on the paths that lead through it, and goes
    -- with it.
    source_message INTEGER REFERENCES messages (id) ON DELETE CASCADE,
    pinned INTEGER NOT NULL DEFAULT 1,
    made_at INTEGER NOT NULL,
    -- The fact that took its place.
    superseded_by INTEGER REFERENCES facts (id) ON DELETE SET NULL
) STRICT;
CREATE INDEX facts_by_session ON facts (session);
CREATE INDEX facts_by_source ON facts (source_message);
CREATE INDEX facts_by_successor ON facts (superseded_by);

CREATE TABLE persona_chunks (
    session INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    text TEXT NOT NULL,
    embedder TEXT,
    vector BLOB,
    PRIMARY KEY (session, position)
) STRICT;
