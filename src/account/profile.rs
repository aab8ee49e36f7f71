//! What users tell of themselves, and the persona they chose.

use std::io;

use serde_json::{Map, Value};

use super::{AccountError, Accounts, Fault, UserId, rows};

const MOST_TEXT: usize = 200;
const AGES: std::ops::RangeInclusive<u32> = 1..=150;
const MOST_PREFERENCES_BYTES: usize = 16 * 1024;

/// A user's own words about themselves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    pub name: Option<String>,
    /// Years.
    pub age: Option<u32>,
    pub location: Option<String>,
    pub gender: Option<String>,
    pub preferences: Map<String, Value>,
    /// The key of the persona that was chosen.
    pub persona: Option<String>,
}

/// `None` leaves a field as it is, `Some(None)` takes it away.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProfileChange {
    pub name: Option<Option<String>>,
    pub age: Option<Option<u32>>,
    pub location: Option<Option<String>>,
    pub gender: Option<Option<String>>,
    pub preferences: Option<Option<Map<String, Value>>>,
}

impl ProfileChange {
    fn checked(&self) -> Result<(), AccountError> {
        let texts = [("name", &self.name), ("location", &self.location), ("gender", &self.gender)];
        let mut faults: Vec<_> = texts
            .into_iter()
            .filter_map(|(field, text)| fault_of_text(field, text.as_ref()?.as_deref()?))
            .collect();
        if let Some(Some(age)) = self.age
            && !AGES.contains(&age)
        {
            let message = format!("must be from {} to {} years", AGES.start(), AGES.end());
            faults.push(Fault::new("age", message));
        }
        if let Some(Some(preferences)) = &self.preferences
            && !is_within(preferences, MOST_PREFERENCES_BYTES)
        {
            let message = format!("must have {MOST_PREFERENCES_BYTES} bytes of JSON at most");
            faults.push(Fault::new("preferences", message));
        }
        if faults.is_empty() { Ok(()) } else { Err(AccountError::Invalid(faults)) }
    }

    fn apply(self, profile: &mut Profile) {
        fn set<T>(field: &mut T, change: Option<T>) {
            if let Some(change) = change {
                *field = change;
            }
        }
        set(&mut profile.name, self.name);
        set(&mut profile.age, self.age);
        set(&mut profile.location, self.location);
        set(&mut profile.gender, self.gender);
        set(&mut profile.preferences, self.preferences.map(Option::unwrap_or_default));
    }
}

/// Whether it has so many bytes of JSON at most. Nothing is copied.
fn is_within(map: &Map<String, Value>, most: usize) -> bool {
    serde_json::to_writer(Room(most), map).is_ok()
}

/// So many bytes can be written to it, and are gone.
struct Room(usize);

impl io::Write for Room {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn fault_of_text(field: &'static str, text: &str) -> Option<Fault> {
    let is_fit = !text.trim().is_empty()
        && text.chars().count() <= MOST_TEXT
        && !text.chars().any(char::is_control);
    (!is_fit).then(|| {
        let message = format!(
            "must have 1 to {MOST_TEXT} characters, no control characters; null takes it away"
        );
        Fault::new(field, message)
    })
}

impl Accounts {
    pub async fn profile(&self, id: UserId) -> Result<Profile, AccountError> {
        self.inner
            .read(move |connection| rows::profile(connection, id)?.ok_or(AccountError::NoUser))
            .await
    }

    /// The profile as it is afterwards.
    pub async fn set_profile(
        &self,
        id: UserId,
        change: ProfileChange,
    ) -> Result<Profile, AccountError> {
        change.checked()?;
        self.change_profile(id, move |profile| change.apply(profile)).await
    }

    /// Chooses a persona by its key; `None` takes the choice back.
    pub async fn set_persona(
        &self,
        id: UserId,
        persona: Option<String>,
    ) -> Result<(), AccountError> {
        self.change_profile(id, move |profile| profile.persona = persona).await.map(drop)
    }

    async fn change_profile(
        &self,
        id: UserId,
        change: impl FnOnce(&mut Profile) + Send + 'static,
    ) -> Result<Profile, AccountError> {
        self.inner
            .change(move |transaction| {
                let mut profile = rows::profile(transaction, id)?.ok_or(AccountError::NoUser)?;
                change(&mut profile);
                rows::set_profile(transaction, id, &profile)?;
                Ok(profile)
            })
            .await
    }
}
