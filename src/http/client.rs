//! Who sends a request, as far as fairness needs it: the address of the connection. Headers that
//! claim another one are not believed.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;

use crate::engine::ClientId;

/// The client behind a request.
pub(super) struct Client(pub(super) ClientId);

impl<S: Sync> FromRequestParts<S> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let address = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        // Without a connection, as in tests, all are one.
        Ok(Self(address.map_or_else(ClientId::default, |ConnectInfo(address)| {
            ClientId::new(address.ip().to_string())
        })))
    }
}
