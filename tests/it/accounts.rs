//! Accounts, keys and limits, over HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use rhapsode::app::checks::{self, Depth, Verdict};
use rhapsode::app::{App, Parts};
use rhapsode::config::Config;
use rhapsode::prompts::Prompts;
use rhapsode::store::Store;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::documents::assert_valid;
use crate::support::{Answer, PATIENCE, Scripted, TestApp};

pub(crate) const PASSWORD: &str = "correct horse battery";
const SECRET: &str = "a secret for tests that forge tokens";
const KEYS: (&str, &str) = ("API_KEYS", "first-key-of-two-keys,second-key-of-two-keys");

/// Tokens of a login.
pub(crate) struct Login {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl Login {
    fn of(answer: &Answer) -> Self {
        assert!((200..300).contains(&answer.status), "{}", answer.text);
        let tokens = answer.json();
        assert_valid("LoginTokens.json", &tokens);
        assert_eq!(tokens["token_type"], "bearer");
        let text = |name: &str| tokens[name].as_str().unwrap().to_owned();
        Self { access: text("access_token"), refresh: text("refresh_token") }
    }
}

/// Makes an account of this name.
pub(crate) async fn register(app: &TestApp, name: &str) -> Login {
    let body =
        json!({ "email": format!("{name}@example.org"), "username": name, "password": PASSWORD });
    Login::of(&app.post_json("/api/v1/auth/register", body).await)
}

pub(crate) async fn login(app: &TestApp, name: &str) -> Login {
    let body = json!({ "username": name, "password": PASSWORD });
    Login::of(&app.post_json("/api/v1/auth/login", body).await)
}

/// Sends a request with these headers.
pub(crate) async fn ask(
    app: &TestApp,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> Answer {
    let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
    let mut request = app.client.request(method, format!("{}{path}", app.base));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if !body.is_null() {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, text: response.text().await.unwrap() }
}

/// The same, by who has this access token.
pub(crate) async fn ask_as(
    app: &TestApp,
    token: &str,
    method: &str,
    path: &str,
    body: &Value,
) -> Answer {
    ask(app, method, path, &[("authorization", &format!("Bearer {token}"))], body).await
}

async fn me(app: &TestApp, token: &str) -> u16 {
    ask_as(app, token, "get", "/api/v1/auth/me", &Value::Null).await.status
}

async fn refresh(app: &TestApp, token: &str) -> Answer {
    app.post_json("/api/v1/auth/refresh", json!({ "refresh_token": token })).await
}

/// Method and path of every route that this scheme of the documentation guards; names in paths stand
/// for `1`.
pub(crate) async fn routes_guarded_by(app: &TestApp, scheme: &str) -> Vec<(String, String)> {
    let document = app.get("/api/v1/openapi.json").await.json();
    let mut routes = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let parts = path.split('/');
        let parts: Vec<_> = parts.map(|it| if it.starts_with('{') { "1" } else { it }).collect();
        for (method, operation) in operations.as_object().unwrap() {
            let schemes = operation["security"].as_array().unwrap();
            if schemes.iter().any(|it| it.get(scheme).is_some()) {
                routes.push((method.clone(), parts.join("/")));
            }
        }
    }
    assert!(routes.len() > 3, "{routes:?}");
    routes
}

#[tokio::test]
async fn an_account_is_made_used_refreshed_and_left() {
    let Scripted { app, .. } = Scripted::start(&[]).await;
    let body = json!({ "email": "Mira@Example.org", "username": "mira", "password": PASSWORD, "full_name": "Mira Lund" });
    let answer = app.post_json("/api/v1/auth/register", body).await;
    assert_eq!((answer.status, &answer.json()["expires_in"]), (201, &json!(86_400)));
    let first = Login::of(&answer);
    let user = ask_as(&app, &first.access, "get", "/api/v1/auth/me", &Value::Null).await.json();
    assert_valid("AccountUser.json", &user);
    assert_eq!(
        (&user["email"], &user["username"], &user["full_name"], &user["created_at"]),
        (
            &json!("mira@example.org"),
            &json!("mira"),
            &json!("Mira Lund"),
            &json!("2026-01-02T03:04:05Z")
        )
    );
    for name in [
        json!({ "username": "MIRA" }),
        json!({ "email": "MIRA@example.org" }),
        json!({ "username": "mira@EXAMPLE.org" }),
    ] {
        let mut body = name;
        body["password"] = PASSWORD.into();
        let answer = app.post_json("/api/v1/auth/login", &body).await;
        assert_eq!(me(&app, &Login::of(&answer).access).await, 200, "{body}");
    }
    let second = Login::of(&refresh(&app, &first.refresh).await);
    assert_ne!(second.refresh, first.refresh);
    assert_eq!((me(&app, &first.access).await, me(&app, &second.access).await), (200, 200));
    let left = ask_as(&app, &second.access, "post", "/api/v1/auth/logout", &Value::Null).await;
    assert_eq!((left.status, left.json()), (200, json!({ "logged_out": true })));
    for token in [&first.access, &second.access] {
        assert_eq!(me(&app, token).await, 401, "a logout ends all its tokens at once");
    }
    assert_eq!(refresh(&app, &second.refresh).await.status, 401);
}

#[tokio::test]
async fn what_the_docs_suggest_to_try_works() {
    let Scripted { app, .. } = Scripted::start(&[]).await;
    let document = app.get("/api/v1/openapi.json").await.json();
    let example = |method: &str, path: &str| {
        let body = &document["paths"][path][method]["requestBody"]["content"]["application/json"];
        assert!(body["example"].is_object(), "{method} {path}");
        body["example"].clone()
    };
    let posted = async |path: &str| Login::of(&app.post_json(path, example("post", path)).await);
    posted("/api/v1/auth/register").await;
    let login = posted("/api/v1/auth/login").await;
    let body = example("put", "/api/v1/users/profile");
    let answer = ask_as(&app, &login.access, "put", "/api/v1/users/profile", &body).await;
    assert_eq!((answer.status, &answer.json()["name"]), (200, &body["name"]));
    let path = "/api/v1/auth/refresh";
    assert_eq!(app.post_json(path, example("post", path)).await.status, 401);
}

#[tokio::test]
async fn what_cannot_be_an_account_is_refused_with_every_fault() {
    let Scripted { app, .. } = Scripted::start(&[]).await;
    let post = |path: &'static str, body: Value| {
        let app = &app;
        async move { app.post_json(&format!("/api/v1/auth/{path}"), body).await }
    };
    register(&app, "mira").await;
    let other = "zoe@example.org";
    let cases = [
        (
            "register",
            json!({ "email": "x", "username": "x", "password": "x" }),
            422,
            "VALIDATION_FAILED",
        ),
        ("register", json!({ "email": other }), 422, "VALIDATION_FAILED"),
        (
            "register",
            json!({ "email": "MIRA@example.org", "username": "zoe", "password": PASSWORD }),
            409,
            "CONFLICT",
        ),
        (
            "register",
            json!({ "email": other, "username": "Mira", "password": PASSWORD }),
            409,
            "CONFLICT",
        ),
        ("login", json!({ "password": PASSWORD }), 422, "VALIDATION_FAILED"),
        ("login", json!({ "username": "mira" }), 422, "VALIDATION_FAILED"),
        (
            "login",
            json!({ "username": "mira", "password": "x".repeat(1_001) }),
            422,
            "VALIDATION_FAILED",
        ),
        ("login", json!({ "username": "mira", "password": "wrong" }), 401, "UNAUTHORIZED"),
        ("login", json!({ "username": "nobody", "password": "wrong" }), 401, "UNAUTHORIZED"),
        ("refresh", json!({ "refresh_token": "none" }), 401, "UNAUTHORIZED"),
        ("refresh", json!({}), 422, "VALIDATION_FAILED"),
    ];
    let mut told = Vec::new();
    for (path, body, status, code) in cases {
        let answer = post(path, body.clone()).await;
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (status, &json!(code)),
            "{path} {body}"
        );
        assert_eq!(answer.header("www-authenticate"), if status == 401 { "Bearer" } else { "" });
        assert_eq!(answer.header("content-type"), "application/problem+json");
        told.push(answer.json());
    }
    let paths = |it: &Value| {
        it["errors"].as_array().unwrap().iter().map(|it| it["path"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(paths(&told[0]), ["/email", "/username", "/password"]);
    assert_eq!(paths(&told[1]), ["/username", "/password"]);
    assert_eq!(told[7]["detail"], told[8]["detail"], "nobody learns which names there are");
}

#[tokio::test]
async fn a_server_can_be_closed_to_new_accounts() {
    let Scripted { app, .. } = Scripted::start(&[("ENABLE_REGISTRATION", "false")]).await;
    let body = json!({ "email": "a@example.org", "username": "mira", "password": PASSWORD });
    let answer = app.post_json("/api/v1/auth/register", body).await;
    assert_eq!((answer.status, &answer.json()["code"]), (403, &json!("FORBIDDEN")));
    assert!(answer.text.contains("ENABLE_REGISTRATION"));
}

#[tokio::test]
async fn the_profile_is_kept_and_changed_field_by_field() {
    let Scripted { app, .. } = Scripted::start(&[]).await;
    let mira = register(&app, "mira").await;
    let put =
        async |body: Value| ask_as(&app, &mira.access, "put", "/api/v1/users/profile", &body).await;
    let full = json!({ "name": "Mira", "age": 34, "location": "Gull Rock", "gender": "female",
        "preferences": { "tone": "dry" }, "persona": null });
    assert_eq!(put(full.clone()).await.json(), full);
    assert_eq!(put(json!({})).await.json(), full);
    let changed = put(json!({ "age": null, "name": "M." })).await.json();
    assert_eq!(
        (&changed["age"], &changed["name"], &changed["location"]),
        (&Value::Null, &json!("M."), &json!("Gull Rock"))
    );
    let seen =
        ask_as(&app, &mira.access, "get", "/api/v1/users/profile", &Value::Null).await.json();
    assert_eq!(seen, changed);
    assert_valid("UserProfile.json", &seen);
    for bad in [
        json!({ "age": "old" }),
        json!({ "age": 0 }),
        json!({ "age": -1 }),
        json!({ "name": "" }),
        json!({ "preferences": [] }),
    ] {
        let answer = put(bad.clone()).await;
        assert_eq!(answer.status, 422, "{bad}: {}", answer.text);
    }
    let zoe = register(&app, "zoe").await;
    let hers = ask_as(&app, &zoe.access, "get", "/api/v1/users/profile", &Value::Null).await.json();
    assert_eq!(hers["name"], Value::Null);
}

/// A token that says the same as this one but for some claims, signed another way.
fn forged(token: &str, algorithm: Algorithm, secret: &str, change: impl Fn(&mut Value)) -> String {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let mut claims: Value = serde_json::from_slice(&payload).unwrap();
    change(&mut claims);
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::new(algorithm), &claims, &key).unwrap()
}

#[tokio::test]
async fn every_account_route_is_closed_to_all_but_who_is_logged_in() {
    let Scripted { app, .. } = Scripted::start(&[("JWT_SECRET", SECRET)]).await;
    let mira = register(&app, "mira").await;
    let revoked = login(&app, "mira").await;
    ask_as(&app, &revoked.access, "post", "/api/v1/auth/logout", &Value::Null).await;
    let zoe = register(&app, "zoe").await;
    let own = &mira.access;
    let unsigned = {
        let payload = own.split('.').nth(1).unwrap();
        format!("{}.{payload}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#))
    };
    let expire = |claims: &mut Value| claims["exp"] = claims["iat"].clone();
    let be_zoe = |claims: &mut Value| {
        let payload = URL_SAFE_NO_PAD.decode(zoe.access.split('.').nth(1).unwrap()).unwrap();
        claims["sub"] = serde_json::from_slice::<Value>(&payload).unwrap()["sub"].clone();
    };
    let same = |_: &mut Value| {};
    // What the forger does is right but for one thing.
    assert_eq!(me(&app, &forged(own, Algorithm::HS256, SECRET, same)).await, 200);
    let closed = [
        ("no token", None),
        ("an empty token", Some(String::new())),
        ("no JWT", Some("null".to_owned())),
        ("a refresh token", Some(mira.refresh.clone())),
        ("expired", Some(forged(own, Algorithm::HS256, SECRET, expire))),
        ("another key", Some(forged(own, Algorithm::HS256, "another", same))),
        ("another algorithm", Some(forged(own, Algorithm::HS512, SECRET, same))),
        ("no algorithm", Some(unsigned)),
        ("another's login", Some(forged(own, Algorithm::HS256, SECRET, be_zoe))),
        ("logged out", Some(revoked.access)),
    ];
    for (method, path) in routes_guarded_by(&app, "account").await {
        for (what, token) in &closed {
            let header = token.as_ref().map(|token| format!("Bearer {token}"));
            let headers: Vec<_> = header.iter().map(|it| ("authorization", it.as_str())).collect();
            let answer = ask(&app, &method, &path, &headers, &json!({})).await;
            assert_eq!(answer.status, 401, "{what}: {method} {path}: {}", answer.text);
            assert_eq!(answer.header("www-authenticate"), "Bearer", "{what}: {method} {path}");
            let problem = answer.json();
            assert_eq!(problem["code"], "UNAUTHORIZED", "{what}: {method} {path}");
            assert!(problem["detail"].as_str().unwrap().contains("/auth/"), "{problem}");
        }
        // Some of them end the login they are sent with.
        let fresh = login(&app, "mira").await;
        let answer = ask_as(&app, &fresh.access, &method, &path, &json!({})).await;
        assert_ne!(answer.status, 401, "own: {method} {path}: {}", answer.text);
    }
}

#[tokio::test]
async fn tokens_expire_by_the_servers_clock() {
    let settings = [("JWT_EXPIRATION_HOURS", "2"), ("REFRESH_EXPIRATION_DAYS", "3")];
    let Scripted { app, .. } = Scripted::start(&settings).await;
    let mira = register(&app, "mira").await;
    app.clock.advance(Duration::from_mins(119));
    assert_eq!(me(&app, &mira.access).await, 200);
    app.clock.advance(Duration::from_mins(1));
    let expired = ask_as(&app, &mira.access, "get", "/api/v1/auth/me", &Value::Null).await;
    assert_eq!(expired.status, 401);
    assert!(expired.text.contains("/auth/refresh"), "{}", expired.text);
    app.clock.advance(Duration::from_hours(69));
    let next = Login::of(&refresh(&app, &mira.refresh).await);
    assert_eq!(me(&app, &next.access).await, 200);
    app.clock.advance(Duration::from_hours(72));
    assert_eq!(refresh(&app, &next.refresh).await.status, 401, "it waited for too long");
}

#[tokio::test]
async fn a_refresh_token_that_comes_again_ends_its_login_and_no_other() {
    let Scripted { app, .. } = Scripted::start(&[]).await;
    let first = register(&app, "mira").await;
    let elsewhere = login(&app, "mira").await;
    let second = Login::of(&refresh(&app, &first.refresh).await);
    let third = Login::of(&refresh(&app, &second.refresh).await);
    let stolen = refresh(&app, &first.refresh).await;
    assert_eq!(stolen.status, 401);
    assert!(stolen.text.contains("used before"), "{}", stolen.text);
    assert_eq!(me(&app, &third.access).await, 401);
    assert_eq!(refresh(&app, &third.refresh).await.status, 401);
    assert_eq!(me(&app, &elsewhere.access).await, 200);
}

#[tokio::test]
async fn of_two_who_use_one_refresh_token_at_once_one_wins() {
    let Scripted { app, .. } = Scripted::start(&[]).await;
    for _ in 0..5 {
        let mira = match app
            .post_json("/api/v1/auth/login", json!({ "username": "mira", "password": PASSWORD }))
            .await
        {
            answer if answer.status == 200 => Login::of(&answer),
            _ => register(&app, "mira").await,
        };
        let answers = join_all([(); 4].map(|()| refresh(&app, &mira.refresh))).await;
        let won: Vec<_> = answers.iter().filter(|it| it.status == 200).collect();
        let lost = answers.iter().filter(|it| it.status == 401).count();
        assert_eq!((won.len(), lost), (1, 3));
        assert_eq!(me(&app, &Login::of(won[0]).access).await, 401, "the others ended the login");
    }
}

#[tokio::test]
async fn a_bcrypt_hash_of_an_earlier_deployment_logs_in_and_becomes_argon2id() {
    let Scripted { app, .. } = Scripted::start(&[]).await;
    let store = Store::open(app.folder()).unwrap();
    let hash = bcrypt::hash("short", 4).unwrap().replacen("$2b", "$2y", 1);
    let insert = "INSERT INTO users (uid, email, username, password, created_at)
        VALUES ('u', 'old@example.org', 'old', ?1, 0)";
    store.run(move |connection| Ok(connection.execute(insert, [hash])?)).await.unwrap();
    let body = |password: &str| json!({ "username": "old", "password": password });
    let stored = async || {
        let sql = "SELECT password FROM users WHERE uid = 'u'";
        let read = store.read(move |it| Ok(it.query_row(sql, [], |row| row.get::<_, String>(0))?));
        read.await.unwrap()
    };
    assert_eq!(app.post_json("/api/v1/auth/login", body("wrong")).await.status, 401);
    assert!(stored().await.starts_with("$2y$"));
    assert_eq!(app.post_json("/api/v1/auth/login", body("short")).await.status, 200);
    assert!(stored().await.starts_with("$argon2id$"));
    assert_eq!(app.post_json("/api/v1/auth/login", body("short")).await.status, 200);
}

#[tokio::test]
async fn a_storm_of_logins_is_bounded_and_holds_nobody_else_up() {
    let Scripted { app, .. } = Scripted::start(&[]).await;
    let url = format!("{}/api/v1/auth/login", app.base);
    let storm: Vec<_> = (0..300)
        .map(|at| {
            let body = json!({ "username": format!("nobody{at}"), "password": "wrong" });
            tokio::spawn(app.client.post(&url).body(body.to_string()).send())
        })
        .collect();
    assert_eq!(app.get("/health").await.status, 200);
    assert!(storm.iter().any(|login| !login.is_finished()), "the line is long");
    let mut refused = 0;
    for login in storm {
        let answer = login.await.unwrap().unwrap();
        match answer.status().as_u16() {
            401 => {}
            429 => {
                refused += 1;
                let after = answer.headers()["retry-after"].to_str().unwrap();
                assert!(after.parse::<u64>().unwrap() > 0);
            }
            other => panic!("{other}"),
        }
    }
    assert!(refused > 0);
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_back() {
    for (name, path) in [
        ("LOGIN_RATE_LIMIT_PER_MINUTE", "/api/v1/auth/login"),
        ("LOGIN_RATE_LIMIT_PER_MINUTE", "/api/v1/auth/register"),
        ("LOGIN_RATE_LIMIT_PER_MINUTE", "/api/v1/auth/refresh"),
        ("RATE_LIMIT_PER_MINUTE", "/api/v1/auth/logout"),
    ] {
        let Scripted { app, .. } = Scripted::start(&[(name, "1")]).await;
        assert_ne!(app.post_json(path, json!({})).await.status, 429, "{path}");
        let answer = app.post_json(path, json!({})).await;
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (429, &json!("RATE_LIMITED")),
            "{path}"
        );
        let seconds: u64 = answer.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&seconds), "{path}: {seconds}");
        assert_ne!(app.get("/health").await.status, 429);
        assert_ne!(app.get("/api/v1/memory").await.status, 429);
    }
}

#[tokio::test]
async fn with_keys_every_other_route_wants_one_in_its_own_words() {
    let Scripted { app, .. } = Scripted::start(&[KEYS]).await;
    let routes = routes_guarded_by(&app, "key").await;
    assert!(routes.contains(&("get".to_owned(), "/metrics".to_owned())), "{routes:?}");
    assert!(routes.contains(&("post".to_owned(), "/s/1/v1/chat/completions".to_owned())));
    for (method, path) in routes {
        for key in [None, Some("Bearer null"), Some("Bearer first-key-of-two-key")] {
            let headers: Vec<_> = key.iter().map(|key| ("authorization", *key)).collect();
            let answer = ask(&app, &method, &path, &headers, &json!({})).await;
            assert_eq!(answer.status, 401, "{method} {path}: {}", answer.text);
            assert_eq!(answer.header("www-authenticate"), "Bearer");
            let told = answer.json();
            let detail = match path.as_str() {
                _ if path.starts_with("/v1/") || path.starts_with("/s/") => {
                    assert_eq!(told["error"]["type"], "authentication_error", "{path}");
                    &told["error"]["message"]
                }
                _ if path.contains("/tokens/") => &told["error"],
                _ => &told["detail"],
            };
            assert!(detail.as_str().unwrap().contains("API_KEYS"), "{path}: {told}");
        }
        for header in [
            ("authorization", "Bearer second-key-of-two-keys"),
            ("x-api-key", "first-key-of-two-keys"),
        ] {
            let answer = ask(&app, &method, &path, &[header], &json!({})).await;
            assert_ne!(answer.status, 401, "{method} {path}: {}", answer.text);
        }
    }
    for path in ["/", "/health", "/docs", "/api/v1/openapi.json"] {
        assert_eq!(app.get(path).await.status, 200, "{path}");
    }
    // Who has an account needs no key.
    let mira = register(&app, "mira").await;
    assert_eq!(me(&app, &mira.access).await, 200);
}

#[tokio::test]
async fn without_keys_nothing_is_asked_for() {
    let Scripted { app, .. } = Scripted::start(&[]).await;
    for (method, path) in routes_guarded_by(&app, "key").await {
        for key in ["Bearer null", "Bearer undefined", "Basic YTpi", ""] {
            let answer = ask(&app, &method, &path, &[("authorization", key)], &json!({})).await;
            assert_ne!(answer.status, 401, "{method} {path}: {}", answer.text);
        }
    }
}

#[tokio::test]
async fn a_browser_asks_first_without_a_key_and_may_read_the_refusal() {
    let Scripted { app, .. } = Scripted::start(&[KEYS]).await;
    let origin = ("origin", "http://localhost:4200");
    for path in ["/v1/chat/completions", "/api/v1/auth/me", "/api/v1/panel"] {
        let headers = [
            origin,
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization,x-api-key"),
        ];
        let answer = ask(&app, "options", path, &headers, &Value::Null).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("access-control-allow-headers"), "authorization,x-api-key");
        let refused = ask(&app, "post", path, &[origin], &json!({})).await;
        assert_eq!(refused.header("access-control-allow-origin"), origin.1, "{path}");
    }
}

fn config(folder: &std::path::Path, more: &[(&str, &str)]) -> Config {
    let folder = folder.to_str().unwrap();
    // No model lies there.
    let own = [("DB_PATH", folder), ("MODELS_DIR", folder)];
    Config::from_pairs(&own.iter().chain(more).copied().collect::<Vec<_>>()).unwrap()
}

fn app_of(config: &Config) -> App {
    App::new(config, Parts::of(config, Prompts::load(None).unwrap()).unwrap())
}

#[tokio::test]
async fn what_the_server_asks_of_itself_needs_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let app = app_of(&config(folder.path(), &[KEYS]));
    let body = crate::support::documented_request().to_string().into_bytes();
    let events: Vec<_> = app.ask("generate-chapter", body).collect().await;
    let told = format!("{events:?}");
    assert!(told.contains("no model is configured") && !told.contains("API_KEYS"), "{told}");
}

#[tokio::test]
async fn tokens_hold_over_a_restart_under_a_key_that_only_the_server_reads() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), &[]);
    let client = crate::support::client();
    let serve = async || {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let base = format!("http://{}/api/v1", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let served = tokio::spawn(app_of(&config).serve(listener, stop.clone(), stop.clone()));
        (base, stop, served)
    };
    let (base, stop, served) = serve().await;
    let body = json!({ "email": "mira@example.org", "username": "mira", "password": PASSWORD });
    let tokens = client.post(format!("{base}/auth/register")).body(body.to_string()).send().await;
    let tokens: Value = serde_json::from_str(&tokens.unwrap().text().await.unwrap()).unwrap();
    stop.cancel();
    tokio::time::timeout(PATIENCE, served).await.unwrap().unwrap().unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let about = std::fs::metadata(folder.path().join("jwt_secret")).unwrap();
        assert_eq!(about.permissions().mode() & 0o777, 0o600);
    }
    let (base, stop, _served) = serve().await;
    let request = client.get(format!("{base}/auth/me"));
    let answer = request.bearer_auth(tokens["access_token"].as_str().unwrap()).send().await;
    assert_eq!(answer.unwrap().status(), 200);
    stop.cancel();
}

#[tokio::test]
async fn without_a_database_there_are_no_accounts() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), &[]);
    let parts = Parts::of(&config, Prompts::load(None).unwrap()).unwrap();
    let app = App::new(&config, Parts { store: None, ..parts });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let served = tokio::spawn(app.serve(listener, stop.clone(), stop.clone()));
    let answer =
        crate::support::client().get(format!("{base}/api/v1/auth/me")).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    let told: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(told["code"], "MEMORY_OFF");
    stop.cancel();
    served.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_server_that_others_reach_does_not_start_open_unless_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let binding = async |more: &[(&str, &str)]| {
        let found = checks::run(&config(folder.path(), more), Depth::Quick).await;
        let found = found.into_iter().filter(|it| it.verdict == Verdict::Fault);
        found.map(|it| it.detail).collect::<Vec<_>>()
    };
    for host in ["0.0.0.0", "::", "192.168.1.5", "::ffff:192.168.1.5"] {
        let refused = binding(&[("HOST", host)]).await;
        for way in ["API_KEYS", "HOST=127.0.0.1", "ALLOW_OPEN=true", host] {
            assert!(refused.len() == 1 && refused[0].contains(way), "{way}: {refused:?}");
        }
        assert!(binding(&[("HOST", host), KEYS]).await.is_empty());
        assert!(binding(&[("HOST", host), ("ALLOW_OPEN", "true")]).await.is_empty());
    }
    for host in ["127.0.0.1", "::1", "localhost", "127.1.2.3"] {
        assert!(binding(&[("HOST", host)]).await.is_empty(), "{host}");
    }
}

/// Elsewhere a machine has but one address of its own.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn accounts_and_names_are_held_to_their_share_from_whatever_address() {
    let settings = [("RATE_LIMIT_PER_MINUTE", "3"), ("LOGIN_RATE_LIMIT_PER_MINUTE", "2")];
    let Scripted { app, .. } = Scripted::start(&settings).await;
    let (mira, zoe) = (register(&app, "mira").await, register(&app, "zoe").await);
    let from = |last: u8| {
        let address = std::net::IpAddr::from([127, 0, 0, last]);
        reqwest::Client::builder().local_address(address).build().unwrap()
    };
    let status = async |request: reqwest::RequestBuilder| {
        request.timeout(PATIENCE).send().await.unwrap().status().as_u16()
    };
    let me = |last: u8, login: &Login| {
        let request = from(last).get(format!("{}/api/v1/auth/me", app.base));
        status(request.bearer_auth(&login.access))
    };
    let theirs = [me(2, &mira).await, me(3, &mira).await, me(4, &mira).await, me(5, &mira).await];
    assert_eq!(theirs, [200, 200, 200, 429]);
    assert_eq!(me(5, &zoe).await, 200, "another account has a share of its own");
    let attempt = |last: u8, name: &str, password: &str| {
        let body = json!({ "username": name, "password": password }).to_string();
        status(from(last).post(format!("{}/api/v1/auth/login", app.base)).body(body))
    };
    // Somebody who guesses from one address keeps nobody out.
    assert_eq!([attempt(2, "mira", "wrong").await, attempt(2, "MIRA", "wrong").await], [401; 2]);
    assert_eq!(attempt(2, "mira", PASSWORD).await, 429);
    assert_eq!(attempt(3, "mira", PASSWORD).await, 200);
}

#[tokio::test]
async fn a_stolen_token_is_no_way_to_guess_the_password() {
    let Scripted { app, .. } = Scripted::start(&[("LOGIN_RATE_LIMIT_PER_MINUTE", "1")]).await;
    let mira = register(&app, "mira").await;
    let delete = async |password: &str| {
        let body = json!({ "password": password });
        ask_as(&app, &mira.access, "delete", "/api/v1/users/account", &body).await.status
    };
    assert_eq!(delete("wrong").await, 403);
    assert_eq!(delete(PASSWORD).await, 429);
}

#[tokio::test]
async fn a_token_that_does_not_hold_makes_nobody_a_guest() {
    let settings = [("JWT_SECRET", SECRET), ("RATE_LIMIT_PER_MINUTE", "8")];
    let app = Scripted::answering(&["I see."], &settings).await;
    let mira = register(&app, "mira").await;
    let expired =
        forged(&mira.access, Algorithm::HS256, SECRET, |it| it["exp"] = it["iat"].clone());
    let body = json!({ "message": "Hello.", "user_id": "mira" });
    let ask_by = async |authorization: &str, method: &str, path: &str| {
        ask(&app, method, path, &[("authorization", authorization)], &body).await.status
    };
    for token in [expired.as_str(), "a.b.c", &format!("{}x", mira.access)] {
        for scheme in ["Bearer", "bearer"] {
            let authorization = format!("{scheme} {token}");
            assert_eq!(ask_by(&authorization, "post", "/api/chat").await, 401, "{authorization}");
            assert_eq!(ask_by(&authorization, "get", "/api/memory/mira").await, 401);
            assert_eq!(ask_by(&authorization, "delete", "/api/memory/mira").await, 401);
        }
    }
    assert_eq!(app.get("/api/memory/mira").await.status, 404, "no guest was made");
    for token in ["Bearer null", "Bearer some-key", "Basic YTpi"] {
        assert_eq!(ask_by(token, "get", "/api/memory/mira").await, 404, "{token}");
    }
    // Who is signed in has the share of requests of an account.
    let own = format!("bearer {}", mira.access);
    let mut statuses = Vec::new();
    for _ in 0..9 {
        statuses.push(ask_by(&own, "get", "/api/memory/mira").await);
    }
    assert_eq!((statuses[0], statuses[8]), (404, 429), "{statuses:?}");
}

#[tokio::test]
async fn a_key_of_the_server_is_no_token_whatever_it_looks_like() {
    let app = Scripted::answering(&["I see."], &[("API_KEYS", "a.key.in-three-parts")]).await;
    let headers = [("authorization", "Bearer a.key.in-three-parts")];
    let body = json!({ "message": "Hello.", "user_id": "bo" });
    let answer = ask(&app, "post", "/api/chat", &headers, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

#[tokio::test]
async fn what_a_guest_cannot_say_makes_no_guest() {
    let app = Scripted::answering(&["I see."], &[]).await;
    for (body, status, told) in [
        (json!({ "message": "Hi.", "user_id": " " }), 422, "/user_id"),
        (json!({ "message": "Hi.", "user_id": "x".repeat(201) }), 422, "/user_id"),
        (json!({ "message": " ", "user_id": "bo" }), 422, "/message"),
        (json!({ "message": "x".repeat(5_001), "user_id": "bo" }), 422, "/message"),
        (
            json!({ "message": "Hi.", "user_id": "bo", "agent_role": "x" }),
            400,
            "Unknown persona: x",
        ),
    ] {
        let answer = app.post_json("/api/chat", &body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text);
        assert!(answer.text.contains(told), "{body}: {}", answer.text);
    }
    let store = Store::open(app.folder()).unwrap();
    let count =
        store.read(|it| Ok(it.query_row("SELECT count(*) FROM users", [], |it| it.get(0))?));
    let count: i64 = count.await.unwrap();
    assert_eq!(count, 0);
}

#[tokio::test]
async fn small_things_have_small_bodies() {
    let Scripted { app, .. } = Scripted::start(&[]).await;
    let mira = register(&app, "mira").await;
    let zeros = vec![0; 150_000];
    let body = json!({ "preferences": { "a": zeros } });
    let answer = ask_as(&app, &mira.access, "put", "/api/v1/users/profile", &body).await;
    assert_eq!((answer.status, &answer.json()["code"]), (413, &json!("BODY_TOO_LARGE")));
    assert!(
        answer.text.contains("256 KiB") && !answer.text.contains("MAX_REQUEST"),
        "{}",
        answer.text
    );
    let long = json!({ "user_id": "bo", "message": "x".repeat(300_000), "metadata": {} });
    for path in ["/session/start", "/chat", "/api/chat", "/api/v1/auth/register"] {
        assert_eq!(app.post_json(path, &long).await.status, 413, "{path}");
    }
    let within = json!({ "preferences": { "a": vec![0; 50_000] } });
    let answer = ask_as(&app, &mira.access, "put", "/api/v1/users/profile", &within).await;
    assert_eq!(answer.status, 422, "{}", answer.text);
    // Stories are longer.
    let answer =
        app.post_json("/api/v1/tokens/count", json!({ "text": "x ".repeat(200_000) })).await;
    assert_ne!(answer.status, 413);
}

#[tokio::test]
async fn a_page_of_another_origin_changes_nothing() {
    let app = Scripted::answering(&["I see."], &[]).await;
    let body = json!({ "user_id": "bo", "persona": "sarah" });
    let own = app.base.clone();
    for (origin, status) in
        [("http://evil.example", 403), ("null", 403), ("http://localhost:4200", 200), (&own, 200)]
    {
        let headers = [("origin", origin), ("content-type", "text/plain")];
        let answer = ask(&app, "post", "/session/start", &headers, &body).await;
        assert_eq!(answer.status, status, "{origin}: {}", answer.text);
        assert_eq!(answer.text.contains("CORS_ORIGINS"), status == 403, "{}", answer.text);
        let looked = ask(&app, "get", "/health", &headers[..1], &Value::Null).await;
        assert_eq!(looked.status, 200);
    }
    let openai = [("origin", "http://evil.example")];
    let refused = ask(&app, "post", "/v1/chat/completions", &openai, &json!({})).await;
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (403, &json!("forbidden")));
}

#[tokio::test]
async fn a_public_server_with_keys_says_that_strangers_may_register() {
    let folder = tempfile::tempdir().unwrap();
    let warned = async |more: &[(&str, &str)]| {
        let found = checks::run(&config(folder.path(), more), Depth::Quick).await;
        found.iter().any(|it| {
            it.verdict == Verdict::Warning && it.detail.contains("ENABLE_REGISTRATION=false")
        })
    };
    let public = ("HOST", "0.0.0.0");
    assert!(warned(&[public, KEYS]).await);
    assert!(!warned(&[public, KEYS, ("ENABLE_REGISTRATION", "false")]).await);
    assert!(!warned(&[KEYS]).await && !warned(&[public, ("ALLOW_OPEN", "true")]).await);
}
