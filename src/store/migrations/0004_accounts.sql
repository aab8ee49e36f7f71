-- Users, what they tell of themselves, and where they are logged in.

CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- What the user is called on the wire and in tokens; never reused.
    uid TEXT NOT NULL UNIQUE,
    -- In lower case.
    email TEXT NOT NULL UNIQUE,
    username TEXT NOT NULL UNIQUE COLLATE NOCASE,
    full_name TEXT,
    -- PHC string (Argon2id), or bcrypt's of an earlier deployment until the next login.
    password TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    logged_in_at INTEGER
) STRICT;

CREATE TABLE user_profiles (
    user INTEGER PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    name TEXT,
    age INTEGER,
    location TEXT,
    gender TEXT,
    -- A JSON object.
    preferences TEXT NOT NULL DEFAULT '{}',
    -- The key of the persona that was chosen.
    persona TEXT
) STRICT;

-- One row a login. All its refresh tokens are one family, and end together.
CREATE TABLE logins (
    id TEXT PRIMARY KEY,
    user INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    made_at INTEGER NOT NULL,
    ended_at INTEGER
) STRICT;
CREATE INDEX logins_by_user ON logins (user);
CREATE INDEX logins_that_ended ON logins (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE refresh_tokens (
    -- SHA-256; the token itself is never stored.
    hash BLOB PRIMARY KEY,
    login TEXT NOT NULL REFERENCES logins (id) ON DELETE CASCADE,
    expires_at INTEGER NOT NULL,
    used_at INTEGER
) STRICT;
CREATE INDEX refresh_tokens_by_login ON refresh_tokens (login);
CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expires_at);
