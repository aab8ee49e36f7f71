//! Accounts over a real database, on a clock that is moved.

use std::path::Path;

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::clock::Hands;

struct Bench {
    accounts: Accounts,
    clock: Hands,
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (clock, hands) = Clock::settable("2026-01-02T03:04:05Z".parse().unwrap());
        let settings = AccountSettings {
            key: SigningKey::of_secret(b"only for these tests"),
            algorithm: Algorithm::Hs256,
            access_lifetime: Duration::from_hours(1),
            refresh_lifetime: Duration::from_hours(10),
            registration_is_open: true,
        };
        let store = Store::open(folder.path()).unwrap();
        let ids = Ids::seeded(clock.clone(), 7);
        Self { accounts: Accounts::new(store, clock, ids, settings), clock: hands, folder }
    }

    async fn register(&self, name: &str) -> Tokens {
        let registration = Registration {
            email: format!("{name}@example.org"),
            username: name.to_owned(),
            password: "correct horse".to_owned(),
            full_name: Some(format!("Captain {name}")),
        };
        self.accounts.register(registration).await.unwrap()
    }

    async fn login(&self, name: &str) -> Result<Tokens, AccountError> {
        let name = LoginName::Username(name.to_owned());
        self.accounts.login(Credentials { name, password: "correct horse".to_owned() }).await
    }

    async fn who(&self, tokens: &Tokens) -> SignedIn {
        self.accounts.signed_in(&tokens.access).await.unwrap()
    }

    fn count(&self, table: &str) -> i64 {
        let connection = Connection::open(self.folder.path().join("rhapsode.db")).unwrap();
        let sql = format!("SELECT count(*) FROM {table}");
        connection.query_row(&sql, [], |row| row.get(0)).unwrap()
    }
}

#[tokio::test]
async fn a_deleted_user_is_gone_down_to_the_bytes_and_others_stay() {
    let bench = Bench::new();
    let (mira, zoe) = (bench.register("mirabel").await, bench.register("zoe").await);
    let (mira, zoe) = (bench.who(&mira).await, bench.who(&zoe).await);
    let change = ProfileChange {
        location: Some(Some("Gull Rock lighthouse".to_owned())),
        ..ProfileChange::default()
    };
    bench.accounts.set_profile(mira.user, change).await.unwrap();
    assert!(holds(bench.folder.path(), b"Gull Rock lighthouse"));
    let (wrong, right) = ("wrong horse", "correct horse");
    let refused = bench.accounts.confirm(mira.user, wrong.to_owned()).await;
    assert!(matches!(refused, Err(AccountError::WrongPassword)));
    bench.accounts.confirm(mira.user, right.to_owned()).await.unwrap();
    bench.accounts.delete(mira.user).await.unwrap();
    for words in [&b"Gull Rock lighthouse"[..], b"mirabel"] {
        assert!(!holds(bench.folder.path(), words));
    }
    let tables = ["users", "user_profiles", "logins", "refresh_tokens"];
    assert_eq!(tables.map(|table| bench.count(table)), [1, 0, 1, 1]);
    assert!(matches!(bench.accounts.user(mira.user).await, Err(AccountError::NoUser)));
    assert!(matches!(bench.accounts.delete(mira.user).await, Err(AccountError::NoUser)));
    assert_eq!(bench.accounts.user(zoe.user).await.unwrap().username, "zoe");
    // Its number goes to nobody else.
    let next = bench.register("nina").await;
    assert!(bench.who(&next).await.user > zoe.user);
}

#[tokio::test]
async fn all_names_of_an_account_are_its_own() {
    let bench = Bench::new();
    let mira = bench.register("mira").await;
    let user = bench.who(&mira).await.user;
    let email = bench.accounts.user(user).await.unwrap().email;
    for name in [
        LoginName::Username("MIRA".to_owned()),
        LoginName::Username(email.to_uppercase()),
        LoginName::Email(email),
    ] {
        assert_eq!(bench.accounts.named(name).await.unwrap(), Some(user));
    }
    let nobody = LoginName::Username("zoe".to_owned());
    assert_eq!(bench.accounts.named(nobody).await.unwrap(), None);
}

/// Whether any file of the folder holds these bytes.
fn holds(folder: &Path, words: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        bytes.windows(words.len()).any(|window| window == words)
    })
}

#[tokio::test]
async fn a_profile_keeps_what_a_change_does_not_name() {
    let bench = Bench::new();
    let user = bench.register("mira").await;
    let user = bench.who(&user).await.user;
    assert_eq!(bench.accounts.profile(user).await.unwrap(), Profile::default());
    bench.accounts.set_persona(user, Some("sarah".to_owned())).await.unwrap();
    let preferences = serde_json::json!({ "tone": ["dry", "kind"] }).as_object().cloned();
    let change = ProfileChange {
        name: Some(Some("Mira".to_owned())),
        age: Some(Some(34)),
        preferences: Some(preferences.clone()),
        ..ProfileChange::default()
    };
    bench.accounts.set_profile(user, change).await.unwrap();
    let change = ProfileChange { age: Some(None), ..ProfileChange::default() };
    let profile = bench.accounts.set_profile(user, change).await.unwrap();
    assert_eq!(profile, bench.accounts.profile(user).await.unwrap());
    assert_eq!((profile.name.as_deref(), profile.age), (Some("Mira"), None));
    assert_eq!(
        (Some(profile.preferences), profile.persona.as_deref()),
        (preferences, Some("sarah"))
    );
    let change = ProfileChange { preferences: Some(None), ..ProfileChange::default() };
    assert!(bench.accounts.set_profile(user, change).await.unwrap().preferences.is_empty());
    let nobody = bench.accounts.set_persona(UserId(99), None).await;
    assert!(matches!(nobody, Err(AccountError::NoUser)));
}

#[tokio::test]
async fn unfit_profiles_are_refused_with_every_field_and_change_nothing() {
    let bench = Bench::new();
    let user = bench.register("mira").await;
    let user = bench.who(&user).await.user;
    let long = serde_json::json!({ "it": "x".repeat(20_000) });
    let change = ProfileChange {
        name: Some(Some(" ".to_owned())),
        age: Some(Some(151)),
        location: Some(Some("x".repeat(201))),
        gender: Some(Some("a\nb".to_owned())),
        preferences: Some(long.as_object().cloned()),
    };
    let Err(AccountError::Invalid(faults)) = bench.accounts.set_profile(user, change).await else {
        panic!("it is unfit");
    };
    let mut fields: Vec<_> = faults.iter().map(|fault| fault.field).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["age", "gender", "location", "name", "preferences"]);
    assert_eq!(bench.accounts.profile(user).await.unwrap(), Profile::default());
}

#[tokio::test]
async fn logins_that_are_over_are_swept_and_those_that_go_on_stay() {
    let bench = Bench::new();
    let first = bench.register("mira").await;
    let ended = bench.login("mira").await.unwrap();
    bench.accounts.logout(&bench.who(&ended).await).await.unwrap();
    bench.clock.advance(Duration::from_hours(9));
    let second = bench.login("mira").await.unwrap();
    assert_eq!(bench.count("logins"), 2, "the one that ended is gone");
    // The first one's token has expired, and its access tokens with it.
    bench.clock.advance(Duration::from_hours(3));
    let third = bench.login("mira").await.unwrap();
    assert_eq!((bench.count("logins"), bench.count("refresh_tokens")), (2, 2));
    for (tokens, holds) in [(first, false), (second, true), (third, true)] {
        assert_eq!(bench.accounts.refresh(&tokens.refresh).await.is_ok(), holds);
    }
}

#[tokio::test]
async fn neither_passwords_nor_tokens_are_stored_or_shown() {
    let bench = Bench::new();
    let tokens = bench.register("mira").await;
    for secret in ["correct horse", &tokens.refresh, &tokens.access] {
        assert!(!holds(bench.folder.path(), secret.as_bytes()));
    }
    assert_eq!(format!("{tokens:?}"), "Tokens(****)");
    assert!(!format!("{:?}", bench.accounts.inner.settings).contains("only for these tests"));
}

#[tokio::test]
async fn two_who_register_at_once_under_one_name_are_one() {
    let bench = Bench::new();
    let register = |email: &str| {
        bench.accounts.register(Registration {
            email: email.to_owned(),
            username: "mira".to_owned(),
            password: "correct horse".to_owned(),
            full_name: None,
        })
    };
    let (one, two) = tokio::join!(register("a@example.org"), register("b@example.org"));
    let refused = [one, two].into_iter().filter_map(Result::err).collect::<Vec<_>>();
    assert!(matches!(refused[..], [AccountError::Taken("username")]), "{refused:?}");
    assert_eq!(bench.count("users"), 1);
}
