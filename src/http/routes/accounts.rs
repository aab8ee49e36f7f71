//! Routes of accounts.

use axum::routing::{get, post, put};

use super::Endpoint;
use crate::http::auth;

const ACCOUNT: &str = "account";

const ACCOUNT_ERRORS: &[u16] = &[400, 404, 413, 422, 500, 503];

pub(super) const ROWS: &[Endpoint] = &[
    Endpoint::new("post", "{api}/auth/register", ACCOUNT, || post(auth::register))
        .about("Make an account, and log in")
        .created()
        .takes("RegisterRequest", auth::examples::REGISTER)
        .answers("LoginTokens")
        .fails(&[400, 403, 409, 413, 422, 500, 503]),
    Endpoint::new("post", "{api}/auth/login", ACCOUNT, || post(auth::login))
        .about("Log in, by username or email address")
        .takes("LoginRequest", auth::examples::LOGIN)
        .answers("LoginTokens")
        .fails(&[400, 401, 413, 422, 500, 503]),
    Endpoint::new("post", "{api}/auth/refresh", ACCOUNT, || post(auth::refresh))
        .about("New tokens for a refresh token, which is used up")
        .takes("RefreshRequest", auth::examples::REFRESH)
        .answers("LoginTokens")
        .fails(&[400, 401, 413, 422, 500, 503]),
    Endpoint::new("post", "{api}/auth/logout", ACCOUNT, || post(auth::logout))
        .about("End the login, with all its tokens, at once")
        .answers("LoggedOut")
        .fails(&[500, 503]),
    Endpoint::new("get", "{api}/auth/me", ACCOUNT, || get(auth::me))
        .about("Who is logged in")
        .answers("AccountUser")
        .fails(&[500, 503]),
    Endpoint::new("get", "{api}/users/profile", ACCOUNT, || get(auth::profile))
        .about("What the user tells of themselves")
        .answers("UserProfile")
        .fails(&[404, 500, 503]),
    Endpoint::new("put", "{api}/users/profile", ACCOUNT, || put(auth::change_profile))
        .about("Change the profile; a field that isn't sent stays, null takes it away")
        .takes("UserProfileChange", auth::examples::PROFILE)
        .answers("UserProfile")
        .fails(ACCOUNT_ERRORS),
];
