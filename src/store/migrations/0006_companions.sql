-- Talks of users with personas, how they stand to each other, and what is known of a user. What was
-- said lies with the other talks, in `messages`.

CREATE TABLE conversations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- What it is called on the wire; its talk is the session `private/<uid>`.
    uid TEXT NOT NULL UNIQUE,
    user INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    persona TEXT NOT NULL,
    title TEXT,
    created_at INTEGER NOT NULL,
    used_at INTEGER NOT NULL,
    -- The newest message whose moves and facts are told; and that a model looked at.
    learnt_to INTEGER NOT NULL DEFAULT 0,
    studied_to INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX conversations_by_user ON conversations (user, used_at);

-- What the moves come to that weren't taken back.
CREATE TABLE relationships (
    user INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    persona TEXT NOT NULL,
    score INTEGER NOT NULL,
    -- When the user last said something to the persona.
    spoken_at INTEGER NOT NULL,
    PRIMARY KEY (user, persona)
) STRICT;

CREATE TABLE relationship_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    persona TEXT NOT NULL,
    move TEXT NOT NULL,
    points INTEGER NOT NULL,
    -- Where it came from, as long as that is there.
    conversation INTEGER REFERENCES conversations (id) ON DELETE SET NULL,
    message INTEGER REFERENCES messages (id) ON DELETE SET NULL,
    made_at INTEGER NOT NULL,
    taken_back_at INTEGER
) STRICT;
CREATE INDEX relationship_events_by_user ON relationship_events (user, persona, id);
CREATE INDEX relationship_events_by_message ON relationship_events (message);
CREATE INDEX relationship_events_by_conversation ON relationship_events (conversation);

CREATE TABLE user_facts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    confidence REAL NOT NULL,
    -- stated, model or user.
    source TEXT NOT NULL,
    conversation INTEGER REFERENCES conversations (id) ON DELETE SET NULL,
    message INTEGER REFERENCES messages (id) ON DELETE SET NULL,
    mentions INTEGER NOT NULL DEFAULT 1,
    made_at INTEGER NOT NULL,
    mentioned_at INTEGER NOT NULL,
    is_current INTEGER NOT NULL DEFAULT 1,
    superseded_by INTEGER REFERENCES user_facts (id) ON DELETE SET NULL
) STRICT;
CREATE INDEX user_facts_by_user ON user_facts (user, is_current, kind);
CREATE INDEX user_facts_by_message ON user_facts (message);
CREATE INDEX user_facts_by_conversation ON user_facts (conversation);
CREATE INDEX user_facts_by_successor ON user_facts (superseded_by);

CREATE TABLE user_memories (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- episodic: a moment. semantic: an entity, or how two are related.
    tier TEXT NOT NULL,
    text TEXT NOT NULL,
    -- Of a semantic one: whom or what it is about.
    subject TEXT,
    -- Of an episodic one.
    emotion TEXT,
    importance REAL NOT NULL,
    conversation INTEGER NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    message INTEGER REFERENCES messages (id) ON DELETE CASCADE,
    mentions INTEGER NOT NULL DEFAULT 1,
    made_at INTEGER NOT NULL,
    mentioned_at INTEGER NOT NULL
) STRICT;
CREATE INDEX user_memories_by_user ON user_memories (user, tier, importance);
CREATE INDEX user_memories_by_message ON user_memories (message);
CREATE INDEX user_memories_by_conversation ON user_memories (conversation);

-- Users without an account, by the name that a caller of earlier servers' routes chose.
CREATE TABLE guests (
    name TEXT PRIMARY KEY,
    user INTEGER NOT NULL UNIQUE REFERENCES users (id) ON DELETE CASCADE
) STRICT;

-- Sessions of visitors, who have no account: a name that the caller chooses.
CREATE TABLE visits (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Its talk is the session `private/<uid>`.
    uid TEXT NOT NULL UNIQUE,
    visitor TEXT NOT NULL,
    persona TEXT NOT NULL,
    -- A JSON object.
    metadata TEXT NOT NULL DEFAULT '{}',
    created_at INTEGER NOT NULL,
    used_at INTEGER NOT NULL
) STRICT;
CREATE INDEX visits_by_visitor ON visits (visitor, used_at);
CREATE INDEX visits_by_use ON visits (used_at);
