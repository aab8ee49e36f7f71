//! What a new account must be like.

use std::str::FromStr as _;

use email_address::{EmailAddress, Options};

use super::{AccountError, Fault};

const USERNAME: std::ops::RangeInclusive<usize> = 3..=50;
const LEAST_PASSWORD: usize = 8;
/// Hashing takes its time from a password's length, too.
const MOST_PASSWORD: usize = 1_000;
const MOST_FULL_NAME: usize = 200;

/// What somebody registers with.
pub struct Registration {
    pub email: String,
    pub username: String,
    pub password: String,
    pub full_name: Option<String>,
}

impl Registration {
    /// The same, with the email address in lower case; or all that is wrong with it.
    pub(super) fn checked(self) -> Result<Self, AccountError> {
        let email = self.email.trim().to_lowercase();
        let full_name = self.full_name.filter(|name| !name.trim().is_empty());
        let faults: Vec<_> = [
            fault_of_email(&email),
            fault_of_username(&self.username),
            fault_of_password(&self.password),
            full_name.as_deref().and_then(fault_of_full_name),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !faults.is_empty() {
            return Err(AccountError::Invalid(faults));
        }
        Ok(Self { email, full_name, ..self })
    }
}

fn fault_of_email(email: &str) -> Option<Fault> {
    let rules = Options::default().without_display_text().without_domain_literal();
    let is_one = EmailAddress::from_str(email).is_ok()
        && EmailAddress::parse_with_options(email, rules).is_ok();
    (!is_one).then(|| Fault::new("email", "must be an email address such as mira@example.org"))
}

fn fault_of_username(name: &str) -> Option<Fault> {
    let count = name.chars().count();
    if !USERNAME.contains(&count) {
        let (least, most) = (USERNAME.start(), USERNAME.end());
        return Some(Fault::new("username", format!("must have {least} to {most} characters")));
    }
    if name.trim() != name || name.chars().any(char::is_control) {
        let message = "must have no control characters, and no space at either end";
        return Some(Fault::new("username", message));
    }
    // Somebody else's email address would be theirs to log in with.
    name.contains('@').then(|| {
        Fault::new("username", "must hold no @: what holds one is taken for an email address")
    })
}

fn fault_of_password(password: &str) -> Option<Fault> {
    (!(LEAST_PASSWORD..=MOST_PASSWORD).contains(&password.len())).then(|| {
        let message = format!("must have {LEAST_PASSWORD} to {MOST_PASSWORD} bytes");
        Fault::new("password", message)
    })
}

fn fault_of_full_name(name: &str) -> Option<Fault> {
    let is_fit = name.chars().count() <= MOST_FULL_NAME && !name.chars().any(char::is_control);
    (!is_fit).then(|| {
        let message =
            format!("must have {MOST_FULL_NAME} characters at most, no control characters");
        Fault::new("full_name", message)
    })
}

/// Accounts of earlier deployments may have shorter ones than are taken today.
pub(super) fn can_be_a_password_of_old(password: &str) -> Result<(), AccountError> {
    if password.len() <= MOST_PASSWORD {
        return Ok(());
    }
    let message = format!("must have {MOST_PASSWORD} bytes at most");
    Err(AccountError::Invalid(vec![Fault::new("password", message)]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn good() -> Registration {
        Registration {
            email: "Mira@Example.org".to_owned(),
            username: "Mira".to_owned(),
            password: "correct horse".to_owned(),
            full_name: Some(String::new()),
        }
    }

    fn faulty(registration: Registration) -> Vec<&'static str> {
        match registration.checked() {
            Err(AccountError::Invalid(faults)) => faults.iter().map(|it| it.field).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn a_good_one_is_taken_with_its_address_in_lower_case() {
        let checked = good().checked().ok().unwrap();
        assert_eq!((checked.email.as_str(), checked.full_name), ("mira@example.org", None));
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let all = Registration {
            email: "mira".to_owned(),
            username: "mi".to_owned(),
            password: "short".to_owned(),
            full_name: Some("a\u{7}b".to_owned()),
        };
        assert_eq!(faulty(all), ["email", "username", "password", "full_name"]);
    }

    #[test]
    fn names_and_addresses_that_could_be_taken_for_others_are_refused() {
        for username in ["ab", "a\nb", " mira", "mira ", "eve@example.org", &"m".repeat(51)] {
            let it = Registration { username: username.to_owned(), ..good() };
            assert_eq!(faulty(it), ["username"], "{username}");
        }
        for email in ["", "@", "a@", "Mira <mira@example.org>", "mira@[127.0.0.1]", "a b@c.org"] {
            let it = Registration { email: email.to_owned(), ..good() };
            assert_eq!(faulty(it), ["email"], "{email}");
        }
        for username in ["Zoë", "mira o'neill", &"m".repeat(50), "日本語"] {
            let it = Registration { username: username.to_owned(), ..good() };
            assert!(faulty(it).is_empty(), "{username}");
        }
        for password in ["1234567", "ñññ", &"p".repeat(1_001)] {
            let it = Registration { password: password.to_owned(), ..good() };
            assert_eq!(faulty(it), ["password"], "{password}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(email: String, username: String, password: String, name: Option<String>) {
            let registration = Registration { email, username, password, full_name: name };
            let _ = registration.checked();
        }
    }
}
