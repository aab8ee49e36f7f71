//! Tokens: short-lived signed ones that say who asks, and single-use ones that get new ones.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{AccountError, SigningKey};
use crate::ids::Ids;

/// Longer than any that are made here.
const LONGEST: usize = 4096;
const LOG_IN: &str = "send `Authorization: Bearer` with an access token from /auth/login";

/// What an access token says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Claims {
    /// The user's name on the wire.
    pub(super) sub: String,
    /// The login.
    pub(super) sid: String,
    /// Seconds since 1970.
    pub(super) iat: i64,
    pub(super) exp: i64,
    pub(super) jti: String,
}

pub(super) fn sign(key: &SigningKey, claims: &Claims) -> Result<String, AccountError> {
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key.encoding)
        .map_err(|error| AccountError::Crypto(error.to_string()))
}

/// What a token says, if it was signed here and holds at this time.
pub(super) fn verify(
    key: &SigningKey,
    token: &str,
    now: Timestamp,
) -> Result<Claims, AccountError> {
    if token.len() > LONGEST {
        return Err(AccountError::NotSignedIn(LOG_IN));
    }
    let mut rules = Validation::new(Algorithm::HS256);
    // Time is ours to tell.
    rules.validate_exp = false;
    rules.required_spec_claims.clear();
    let claims = jsonwebtoken::decode::<Claims>(token, &key.decoding, &rules)
        .map_err(|_| AccountError::NotSignedIn(LOG_IN))?
        .claims;
    if claims.exp <= now.as_second() {
        return Err(AccountError::NotSignedIn(
            "the access token has expired; get a new one from /auth/refresh",
        ));
    }
    Ok(claims)
}

/// A token that gets new ones, once.
pub(super) struct RefreshToken {
    pub(super) text: String,
    pub(super) hash: [u8; 32],
}

impl RefreshToken {
    pub(super) fn make(ids: &Ids) -> Self {
        let text = URL_SAFE_NO_PAD.encode(ids.secret::<32>());
        let hash = Self::hash(&text);
        Self { text, hash }
    }

    /// What is stored of it.
    pub(super) fn hash(text: &str) -> [u8; 32] {
        Sha256::digest(text).into()
    }
}

/// Milliseconds since 1970, so long after.
pub(super) fn after(now: i64, by: Duration) -> i64 {
    now.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const SECRET: &[u8] = b"a secret of at least thirty-two bytes";

    fn claims() -> Claims {
        Claims {
            sub: "u".to_owned(),
            sid: "s".to_owned(),
            iat: 1_000,
            exp: 2_000,
            jti: "j".to_owned(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_token_holds_until_it_expires_and_only_under_its_key() {
        let key = SigningKey::of_secret(SECRET);
        let token = sign(&key, &claims()).unwrap();
        assert_eq!(verify(&key, &token, at(1_999)).unwrap().sub, "u");
        let expired = verify(&key, &token, at(2_000)).unwrap_err().to_string();
        assert!(expired.contains("/auth/refresh"), "{expired}");
        let other = SigningKey::of_secret(b"another secret of at least thirty-two bytes");
        assert!(verify(&other, &token, at(1_500)).is_err());
    }

    #[test]
    fn other_algorithms_are_refused() {
        let key = SigningKey::of_secret(SECRET);
        for algorithm in [Algorithm::HS384, Algorithm::HS512] {
            let token = jsonwebtoken::encode(&Header::new(algorithm), &claims(), &key.encoding);
            assert!(verify(&key, &token.unwrap(), at(1_500)).is_err(), "{algorithm:?}");
        }
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let payload = part(serde_json::to_value(claims()).unwrap());
        for none in ["none", "None", "NONE", ""] {
            let header = part(json!({ "alg": none, "typ": "JWT" }));
            for token in [format!("{header}.{payload}."), format!("{header}.{payload}")] {
                assert!(verify(&key, &token, at(1_500)).is_err(), "{token}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_is_taken_for_a_token(text: String) {
            prop_assert!(verify(&SigningKey::of_secret(SECRET), &text, at(0)).is_err());
        }

        #[test]
        fn a_token_that_was_touched_is_refused(at_byte: prop::sample::Index, to in "[A-Za-z0-9_.-]") {
            let key = SigningKey::of_secret(SECRET);
            let token = sign(&key, &claims()).unwrap();
            let index = at_byte.index(token.len());
            let touched = format!("{}{to}{}", &token[..index], &token[index + 1..]);
            // The last letter's spare bits mean nothing.
            prop_assume!(touched != token && index + 1 < token.len());
            prop_assert!(verify(&key, &touched, at(1_500)).is_err());
        }
    }
}
