//! The SQL of accounts.

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use serde_json::{Map, Value};

use super::{AccountError, LoginName, Profile, UserId};
use crate::store::StoreError;

/// A user who is to be.
pub(super) struct User<'a> {
    pub(super) uid: &'a str,
    pub(super) email: &'a str,
    pub(super) username: &'a str,
    pub(super) full_name: Option<&'a str>,
    /// Hashed.
    pub(super) password: &'a str,
}

/// A login that is to be.
pub(super) struct NewLogin {
    pub(super) id: String,
    pub(super) refresh_hash: [u8; 32],
    pub(super) expires_at: i64,
}

/// A user by name.
pub(super) struct Found {
    pub(super) id: UserId,
    pub(super) uid: String,
    /// Hashed.
    pub(super) password: String,
}

/// What came of a refresh token.
pub(super) enum Rotation {
    Done {
        login: String,
        uid: String,
    },
    /// It had been used, and its login is ended now.
    Reused,
    Refused,
}

/// Somebody without an account, by the name that a caller chose; made when there is none.
pub(super) fn guest(
    connection: &mut Connection,
    name: &str,
    uid: &str,
    now: i64,
) -> Result<UserId, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if let Some(known) = known_guest(&transaction, name)? {
        return Ok(known);
    }
    // No address looks like that, and no hash is empty: nobody logs in as a guest.
    let unusable = format!("guest {uid}");
    transaction.execute(
        "INSERT INTO users (uid, email, username, password, created_at)
         VALUES (?1, ?2, ?2, '', ?3)",
        params![uid, unusable, now],
    )?;
    let id = transaction.last_insert_rowid();
    transaction.execute("INSERT INTO guests (name, user) VALUES (?1, ?2)", params![name, id])?;
    transaction.commit()?;
    Ok(UserId(id))
}

pub(super) fn known_guest(
    connection: &Connection,
    name: &str,
) -> Result<Option<UserId>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT user FROM guests WHERE name = ?1")?;
    Ok(statement.query_row([name], |row| row.get(0).map(UserId)).optional()?)
}

pub(super) fn not_taken(
    connection: &Connection,
    email: &str,
    username: &str,
) -> Result<(), AccountError> {
    let taken = |sql: &str, name: &str| {
        connection.prepare_cached(sql)?.exists([name]).map_err(StoreError::from)
    };
    if taken("SELECT 1 FROM users WHERE email = ?1", email)? {
        return Err(AccountError::Taken("email address"));
    }
    if taken("SELECT 1 FROM users WHERE username = ?1", username)? {
        return Err(AccountError::Taken("username"));
    }
    Ok(())
}

pub(super) fn add_user(
    connection: &Connection,
    user: &User<'_>,
    now: i64,
) -> Result<UserId, StoreError> {
    connection.execute(
        "INSERT INTO users (uid, email, username, full_name, password, created_at, logged_in_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)",
        params![user.uid, user.email, user.username, user.full_name, user.password, now],
    )?;
    Ok(UserId(connection.last_insert_rowid()))
}

pub(super) fn add_login(
    connection: &Connection,
    user: UserId,
    login: &NewLogin,
    now: i64,
) -> Result<(), AccountError> {
    connection.execute(
        "INSERT INTO logins (id, user, made_at) VALUES (?1, ?2, ?3)",
        params![login.id, user.0, now],
    )?;
    add_refresh_token(connection, &login.id, &login.refresh_hash, login.expires_at)?;
    Ok(())
}

fn add_refresh_token(
    connection: &Connection,
    login: &str,
    hash: &[u8; 32],
    expires_at: i64,
) -> Result<(), StoreError> {
    connection.execute(
        "INSERT INTO refresh_tokens (hash, login, expires_at) VALUES (?1, ?2, ?3)",
        params![hash, login, expires_at],
    )?;
    Ok(())
}

pub(super) fn find(
    connection: &Connection,
    name: &LoginName,
) -> Result<Option<Found>, AccountError> {
    let (sql, name) = match name {
        LoginName::Username(name) if !name.contains('@') => {
            ("SELECT id, uid, password FROM users WHERE username = ?1", name.trim().to_owned())
        }
        LoginName::Email(_) | LoginName::Username(_) => {
            ("SELECT id, uid, password FROM users WHERE email = ?1", name.canonical())
        }
    };
    let found = connection.prepare_cached(sql)?.query_row([name], |row| {
        Ok(Found { id: UserId(row.get(0)?), uid: row.get(1)?, password: row.get(2)? })
    });
    Ok(found.optional()?)
}

pub(super) fn password(connection: &Connection, id: UserId) -> Result<Option<String>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT password FROM users WHERE id = ?1")?;
    Ok(statement.query_row([id.0], |row| row.get(0)).optional()?)
}

/// Unless it was changed meanwhile.
pub(super) fn replace_password(
    connection: &Connection,
    id: UserId,
    old: &str,
    new: &str,
) -> Result<(), StoreError> {
    connection.execute(
        "UPDATE users SET password = ?3 WHERE id = ?1 AND password = ?2",
        params![id.0, old, new],
    )?;
    Ok(())
}

/// Whether there is such a user.
pub(super) fn note_login(
    connection: &Connection,
    id: UserId,
    now: i64,
) -> Result<bool, StoreError> {
    let changed = connection
        .execute("UPDATE users SET logged_in_at = ?2 WHERE id = ?1", params![id.0, now])?;
    Ok(changed > 0)
}

/// Forgets logins that ended, and those all of whose tokens expired before `dead_since`.
pub(super) fn sweep(connection: &Connection, dead_since: i64) -> Result<(), StoreError> {
    connection.execute("DELETE FROM logins WHERE ended_at IS NOT NULL", [])?;
    connection.execute(
        "DELETE FROM logins
         WHERE id IN (SELECT login FROM refresh_tokens WHERE expires_at < ?1)
         AND NOT EXISTS
             (SELECT 1 FROM refresh_tokens WHERE login = logins.id AND expires_at >= ?1)",
        [dead_since],
    )?;
    connection.execute("DELETE FROM refresh_tokens WHERE expires_at < ?1", [dead_since])?;
    Ok(())
}

pub(super) fn end_login(connection: &Connection, login: &str, now: i64) -> Result<(), StoreError> {
    connection.execute(
        "UPDATE logins SET ended_at = ?2 WHERE id = ?1 AND ended_at IS NULL",
        params![login, now],
    )?;
    Ok(())
}

/// Uses a token up, and puts a new one in its place.
pub(super) fn rotate(
    connection: &Connection,
    used: &[u8; 32],
    new: &[u8; 32],
    new_expires_at: i64,
    now: i64,
) -> Result<Rotation, StoreError> {
    let found = connection
        .prepare_cached(
            "SELECT login, uid, used_at IS NOT NULL, expires_at
             FROM refresh_tokens
             JOIN logins ON logins.id = login JOIN users ON users.id = user
             WHERE hash = ?1 AND ended_at IS NULL",
        )?
        .query_row([used], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let Some((login, uid, was_used, expires_at)): Option<(String, String, bool, i64)> = found
    else {
        return Ok(Rotation::Refused);
    };
    if was_used {
        end_login(connection, &login, now)?;
        return Ok(Rotation::Reused);
    }
    if expires_at <= now {
        return Ok(Rotation::Refused);
    }
    connection
        .execute("UPDATE refresh_tokens SET used_at = ?2 WHERE hash = ?1", params![used, now])?;
    add_refresh_token(connection, &login, new, new_expires_at)?;
    Ok(Rotation::Done { login, uid })
}

/// The user of a login that goes on.
pub(super) fn user_of_login(
    connection: &Connection,
    login: &str,
    uid: &str,
) -> Result<Option<UserId>, StoreError> {
    let found = connection
        .prepare_cached(
            "SELECT users.id FROM logins JOIN users ON users.id = logins.user
             WHERE logins.id = ?1 AND users.uid = ?2 AND logins.ended_at IS NULL",
        )?
        .query_row([login, uid], |row| row.get(0).map(UserId));
    Ok(found.optional()?)
}

pub(super) fn user(connection: &Connection, id: UserId) -> Result<Option<super::User>, StoreError> {
    let found = connection
        .prepare_cached(
            "SELECT id, uid, email, username, full_name, created_at FROM users WHERE id = ?1",
        )?
        .query_row([id.0], |row| {
            Ok(super::User {
                id: UserId(row.get(0)?),
                uid: row.get(1)?,
                email: row.get(2)?,
                username: row.get(3)?,
                full_name: row.get(4)?,
                created_at: row.get(5)?,
            })
        });
    Ok(found.optional()?)
}

pub(super) fn delete_user(connection: &Connection, id: UserId) -> Result<(), AccountError> {
    let deleted = connection.execute("DELETE FROM users WHERE id = ?1", [id.0])?;
    if deleted == 0 { Err(AccountError::NoUser) } else { Ok(()) }
}

/// Nothing where there is no such user; an empty one where they told nothing.
pub(super) fn profile(connection: &Connection, id: UserId) -> Result<Option<Profile>, StoreError> {
    let found = connection
        .prepare_cached(
            "SELECT name, age, location, gender, preferences, persona
             FROM users LEFT JOIN user_profiles ON user = id WHERE id = ?1",
        )?
        .query_row([id.0], |row| {
            let preferences: Option<String> = row.get(4)?;
            let profile = Profile {
                name: row.get(0)?,
                age: row.get(1)?,
                location: row.get(2)?,
                gender: row.get(3)?,
                preferences: Map::new(),
                persona: row.get(5)?,
            };
            Ok((profile, preferences))
        })
        .optional()?;
    let Some((profile, preferences)) = found else { return Ok(None) };
    let preferences = preferences.map_or(Ok(Map::new()), |text| serde_json::from_str(&text))?;
    Ok(Some(Profile { preferences, ..profile }))
}

pub(super) fn set_profile(
    connection: &Connection,
    id: UserId,
    profile: &Profile,
) -> Result<(), StoreError> {
    connection.execute(
        "INSERT OR REPLACE INTO user_profiles
         (user, name, age, location, gender, preferences, persona)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            id.0,
            profile.name,
            profile.age,
            profile.location,
            profile.gender,
            Value::Object(profile.preferences.clone()).to_string(),
            profile.persona,
        ],
    )?;
    Ok(())
}
