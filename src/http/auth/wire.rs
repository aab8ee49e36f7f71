//! Bodies and answers of the account routes.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::account::{Profile, ProfileChange, Tokens, User};
use crate::http::error::{ApiError, Code, FaultKind, FieldFault};

#[derive(Deserialize, JsonSchema)]
pub(in super::super) struct RegisterRequest {
    /// It is kept in lower case.
    pub(super) email: String,
    /// 3 to 50 characters, of which none is an @.
    pub(super) username: String,
    /// 8 to 1000 bytes.
    pub(super) password: String,
    #[serde(default)]
    pub(super) full_name: Option<String>,
}

/// Either name does.
#[derive(Deserialize, JsonSchema)]
pub(in super::super) struct LoginRequest {
    #[serde(default)]
    pub(super) email: Option<String>,
    /// A username; an email address is taken, too.
    #[serde(default)]
    pub(super) username: Option<String>,
    pub(super) password: String,
}

#[derive(Deserialize, JsonSchema)]
pub(in super::super) struct RefreshRequest {
    /// It can be used once. One that comes a second time ends its login.
    pub(super) refresh_token: String,
}

#[derive(Serialize, JsonSchema)]
pub(in super::super) struct LoginTokens {
    /// Goes into `Authorization: Bearer`.
    access_token: String,
    /// Gets the next pair, at /auth/refresh.
    refresh_token: String,
    token_type: TokenType,
    /// Seconds that the access token holds.
    expires_in: u64,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum TokenType {
    Bearer,
}

impl From<Tokens> for LoginTokens {
    fn from(tokens: Tokens) -> Self {
        Self {
            access_token: tokens.access,
            refresh_token: tokens.refresh,
            token_type: TokenType::Bearer,
            expires_in: tokens.expires_in.as_secs(),
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(in super::super) struct LoggedOut {
    pub(super) logged_out: bool,
}

#[derive(Serialize, JsonSchema)]
pub(in super::super) struct AccountUser {
    id: String,
    email: String,
    username: String,
    full_name: Option<String>,
    /// RFC 3339.
    created_at: String,
}

impl From<User> for AccountUser {
    fn from(user: User) -> Self {
        let created_at = Timestamp::from_millisecond(user.created_at).unwrap_or_default();
        Self {
            id: user.uid,
            email: user.email,
            username: user.username,
            full_name: user.full_name,
            created_at: created_at.to_string(),
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(in super::super) struct UserProfile {
    name: Option<String>,
    /// Years.
    age: Option<u32>,
    location: Option<String>,
    gender: Option<String>,
    preferences: Map<String, Value>,
    /// The key of the persona that was chosen.
    persona: Option<String>,
}

impl From<Profile> for UserProfile {
    fn from(profile: Profile) -> Self {
        let Profile { name, age, location, gender, preferences, persona } = profile;
        Self { name, age, location, gender, preferences, persona }
    }
}

/// A field that isn't there is left as it is; null takes it away.
#[expect(clippy::option_option, reason = "a null that was sent takes something away")]
#[derive(Deserialize, JsonSchema)]
pub(in super::super) struct UserProfileChange {
    #[serde(default, deserialize_with = "even_null")]
    #[schemars(with = "Option<String>")]
    name: Option<Option<String>>,
    /// Years, 1 to 150.
    #[serde(default, deserialize_with = "even_null")]
    #[schemars(with = "Option<u32>")]
    age: Option<Option<u32>>,
    #[serde(default, deserialize_with = "even_null")]
    #[schemars(with = "Option<String>")]
    location: Option<Option<String>>,
    #[serde(default, deserialize_with = "even_null")]
    #[schemars(with = "Option<String>")]
    gender: Option<Option<String>>,
    /// Whatever a client likes to keep, up to 16 KiB of JSON; it takes the place of all that was there.
    #[serde(default, deserialize_with = "even_null")]
    #[schemars(with = "Option<Map<String, Value>>")]
    preferences: Option<Option<Map<String, Value>>>,
}

#[expect(clippy::option_option, reason = "a null that was sent takes something away")]
/// A null that was sent is told apart from a field that wasn't.
fn even_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

impl From<UserProfileChange> for ProfileChange {
    fn from(change: UserProfileChange) -> Self {
        let UserProfileChange { name, age, location, gender, preferences } = change;
        Self { name, age, location, gender, preferences }
    }
}

pub(super) fn nameless() -> ApiError {
    ApiError::invalid(vec![FieldFault {
        path: vec!["username".into()],
        message: "is required: the username, or email with the email address".to_owned(),
        kind: FaultKind::Missing,
    }])
}

/// For whose account is no longer there.
pub(super) fn gone() -> ApiError {
    ApiError::new(Code::Unauthorized, "the account is no longer there; log in with another")
}
