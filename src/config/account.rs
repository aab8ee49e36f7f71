//! `[account]`: users, their logins, the server's keys, and how often anyone may ask.

use super::choice::JwtAlgorithm;
use super::section::section;
use super::value::Secret;

section! {
    /// Users, their logins, the server's keys, and how often anyone may ask.
    Account, "account";

    /// Text that access tokens are signed with, at least 32 bytes. When unset, one is made at the
    /// first start and kept in `DB_PATH`, as `jwt_secret`, readable by the server's user only. Another
    /// one ends all access tokens.
    jwt_secret: Option<Secret> = None, shaped("a text of at least 32 bytes", is_jwt_secret);

    /// How access tokens are signed. There is no other way.
    jwt_algorithm: JwtAlgorithm = JwtAlgorithm::Hs256;

    /// Hours that an access token holds.
    jwt_expiration_hours: u64 = 24, within(1, 8_760);

    /// Days that a refresh token waits to be used.
    refresh_expiration_days: u64 = 30, within(1, 3_650);

    /// Whether anyone may register.
    enable_registration: bool = true;

    /// Keys of the server, separated by commas, each of at least 16 characters. When there are any,
    /// the story, talk, memory, token and session routes and `/metrics` answer only to who sends one
    /// of them, as `Authorization: Bearer` or `X-API-Key`. Accounts need none: they log in.
    api_keys: Option<Secret> = None,
        shaped("keys of at least 16 characters each, without spaces, separated by commas", are_keys);

    /// Whether a server without `API_KEYS` may listen where other machines reach it.
    allow_open: bool = false;

    /// Requests a minute that one address, and one account, may send to account and companion routes.
    /// 0 sets no limit; behind a proxy all clients have its address, and it is the one to limit them.
    rate_limit_per_minute: u32 = 120, within(0, 1_000_000);

    /// Registrations, logins and refreshes a minute that one address may ask for, and wrong passwords
    /// that it may send for one account; from all addresses together, an account may have ten times as
    /// many. 0 sets no limit.
    login_rate_limit_per_minute: u32 = 10, within(0, 1_000_000);
}

fn is_jwt_secret(text: &str) -> bool {
    text.len() >= 32
}

/// Each becomes a part of a header.
fn are_keys(list: &str) -> bool {
    let mut keys = list.split(',').map(str::trim).filter(|key| !key.is_empty()).peekable();
    keys.peek().is_some()
        && keys.all(|key| key.len() >= 16 && key.bytes().all(|byte| byte.is_ascii_graphic()))
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn weak_secrets_are_refused_and_none_is_shown() {
        for (name, bad) in [
            ("JWT_SECRET", "hunter2 hunter2 hunter2"),
            ("API_KEYS", "hunter2"),
            ("API_KEYS", "hunter2hunter2hunter2,hunter2"),
            ("API_KEYS", "hunter2 hunter2 hunter2"),
            ("API_KEYS", ","),
            ("JWT_ALGORITHM", "none"),
        ] {
            let fault = Config::from_pairs(&[(name, bad)]).unwrap_err().to_string();
            assert!(fault.contains(name) && !fault.contains("hunter2"), "{fault}");
        }
        let keys = [("API_KEYS", "hunter2hunter2hunter2, hunter3hunter3hunter3,")];
        let config = Config::from_pairs(&keys).unwrap();
        assert!(!format!("{config:?}").contains("hunter"));
    }
}
