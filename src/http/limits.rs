//! How often one address, one account or one account's name may ask. In memory, and bounded: while too
//! many are known at once, several share one place.

use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::Extensions;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use super::error::{ApiError, Code};
use super::failures::Failures;
use super::keys::InProcess;
use crate::account::UserId;

/// Keys that are remembered apart; each takes about 100 bytes.
const MOST_KNOWN: usize = 100_000;
/// Places that are shared while there are more.
const SHARED: u64 = 1_024;
/// So many questions later the limiter forgets who hasn't asked for a while.
const SWEEP_AFTER: usize = 10_000;

/// The limits of a server. Cheap to clone.
#[derive(Clone)]
pub struct Limits {
    requests: Option<Arc<Limit>>,
    logins: Option<Arc<Limit>>,
    passwords: Option<Arc<Passwords>>,
}

/// Wrong passwords: by name and address, and by name alone, wherever they come from.
struct Passwords {
    from_one_address: Failures<(Guessed, IpAddr)>,
    of_one_name: Failures<Guessed>,
    since: Instant,
}

/// How many more wrong passwords a name may have from everywhere than from one address: enough that no
/// single address keeps its owner out.
const FROM_EVERYWHERE: u32 = 10;

/// Whose password is tried.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Guessed {
    Account(UserId),
    /// A name that no account has, hashed.
    Nobody([u8; 32]),
}

impl Guessed {
    pub(super) fn nobody(canonical: &str) -> Self {
        use sha2::{Digest as _, Sha256};
        Self::Nobody(Sha256::digest(canonical).into())
    }
}

/// Requests a minute; 0 sets no limit.
#[derive(Clone, Copy, Debug)]
pub struct LimitSettings {
    pub requests: u32,
    pub logins: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Address(IpAddr),
    Account(UserId),
    Shared(u64),
}

struct Limit<C: Clock + Clone = MonotonicClock> {
    limiter: RateLimiter<Key, DashMapStateStore<Key>, C, NoOpMiddleware<C::Instant>>,
    clock: C,
    asked: AtomicUsize,
    most_known: usize,
}

impl Limits {
    pub fn new(settings: LimitSettings) -> Self {
        let limit = |per_minute| {
            let per_minute = NonZeroU32::new(per_minute)?;
            Some(Arc::new(Limit::new(per_minute, MOST_KNOWN, MonotonicClock)))
        };
        let passwords = NonZeroU32::new(settings.logins).map(|per_minute| {
            let everywhere =
                per_minute.saturating_mul(NonZeroU32::MIN.saturating_add(FROM_EVERYWHERE - 1));
            Arc::new(Passwords {
                from_one_address: Failures::new(per_minute, MOST_KNOWN),
                of_one_name: Failures::new(everywhere, MOST_KNOWN),
                since: Instant::now(),
            })
        });
        Self { requests: limit(settings.requests), logins: limit(settings.logins), passwords }
    }

    pub(super) fn of_account(&self, user: UserId) -> Result<(), ApiError> {
        check(self.requests.as_deref(), Key::Account(user))
    }

    /// Whether another password may be tried; it counts as wrong until [`Self::was_not_wrong`].
    pub(super) fn of_password(&self, whose: &Guessed, from: &Sender) -> Result<(), ApiError> {
        let Some(passwords) = &self.passwords else { return Ok(()) };
        let now = passwords.since.elapsed();
        let here = (whose.clone(), from.0);
        passwords.from_one_address.take(&here, now).map_err(too_often)?;
        passwords.of_one_name.take(whose, now).map_err(|wait| {
            // It wasn't tried.
            passwords.from_one_address.give_back(&here);
            too_often(wait)
        })
    }

    pub(super) fn was_not_wrong(&self, whose: &Guessed, from: &Sender) {
        if let Some(passwords) = &self.passwords {
            passwords.from_one_address.give_back(&(whose.clone(), from.0));
            passwords.of_one_name.give_back(whose);
        }
    }
}

/// The address that a request came from, as limits count it.
pub(super) struct Sender(IpAddr);

impl<S: Sync> FromRequestParts<S> for Sender {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(address_of(&parts.extensions)))
    }
}

/// Holds each address to its share of requests.
pub(super) async fn requests(
    State(limits): State<Limits>,
    request: Request,
    next: Next,
) -> Response {
    match of_address(limits.requests.as_deref(), &request) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// Holds each address to its share of logins.
pub(super) async fn logins(State(limits): State<Limits>, request: Request, next: Next) -> Response {
    match of_address(limits.logins.as_deref(), &request) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

fn of_address(limit: Option<&Limit>, request: &Request) -> Result<(), ApiError> {
    if request.extensions().get::<InProcess>().is_some() {
        return Ok(());
    }
    check(limit, Key::Address(address_of(request.extensions())))
}

fn address_of(extensions: &Extensions) -> IpAddr {
    let address = extensions.get::<ConnectInfo<SocketAddr>>();
    let address = address.map_or(IpAddr::from([0, 0, 0, 0]), |ConnectInfo(it)| it.ip());
    one_network(address)
}

/// Who has one address of IPv6 has 2^64 of them.
fn one_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        address @ IpAddr::V4(_) => address,
    }
}

fn check(limit: Option<&Limit>, key: Key) -> Result<(), ApiError> {
    let Some(Err(wait)) = limit.map(|limit| limit.check(key)) else { return Ok(()) };
    Err(too_often(wait))
}

fn too_often(wait: Duration) -> ApiError {
    let seconds = wait.as_millis().div_ceil(1000).max(1);
    let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
    ApiError {
        retry_after_seconds: Some(seconds),
        ..ApiError::new(
            Code::RateLimited,
            format!("too many requests; send it again in {seconds} seconds"),
        )
    }
}

impl<C: Clock + Clone> Limit<C> {
    fn new(per_minute: NonZeroU32, most_known: usize, clock: C) -> Self {
        let quota = Quota::per_minute(per_minute);
        let limiter = RateLimiter::new(quota, DashMapStateStore::default(), clock.clone());
        Self { limiter, clock, asked: AtomicUsize::new(0), most_known }
    }

    /// How long to wait, where it is too early.
    fn check(&self, key: Key) -> Result<(), Duration> {
        if self.asked.fetch_add(1, Ordering::Relaxed) % SWEEP_AFTER == SWEEP_AFTER - 1 {
            self.limiter.retain_recent();
        }
        let key = if self.limiter.len() < self.most_known { key } else { shared(&key) };
        let now = self.clock.now();
        self.limiter.check_key(&key).map_err(|until| until.wait_time_from(now))
    }
}

fn shared(key: &Key) -> Key {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    Key::Shared(hasher.finish() % SHARED)
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn limit(per_minute: u32, most_known: usize) -> (Limit<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let per_minute = NonZeroU32::new(per_minute).unwrap();
        (Limit::new(per_minute, most_known, clock.clone()), clock)
    }

    fn account(id: i64) -> Key {
        Key::Account(UserId(id))
    }

    #[test]
    fn each_has_a_share_of_their_own_and_time_gives_it_back() {
        let (limit, clock) = limit(2, 10);
        assert_eq!([limit.check(account(1)), limit.check(account(1))], [Ok(()), Ok(())]);
        let wait = limit.check(account(1)).unwrap_err();
        assert_eq!(wait, Duration::from_secs(30));
        assert_eq!(limit.check(account(2)), Ok(()));
        clock.advance(wait);
        assert_eq!(limit.check(account(1)), Ok(()));
        assert!(limit.check(account(1)).is_err());
    }

    #[test]
    fn a_flood_of_addresses_is_bounded_in_memory_and_still_limited() {
        let (limit, clock) = limit(2, 100);
        let refused = (0..20_000).filter(|id| limit.check(account(*id)).is_err()).count();
        let most = 100 + usize::try_from(SHARED).unwrap();
        assert!(limit.limiter.len() <= most, "{}", limit.limiter.len());
        assert!(refused > 10_000, "{refused}");
        clock.advance(Duration::from_mins(2));
        // The next sweep forgets them all.
        let refused = (0..SWEEP_AFTER).filter(|_| limit.check(account(0)).is_err()).count();
        assert!(refused > SWEEP_AFTER - 10, "{refused}");
        assert!(limit.limiter.len() <= 2, "{}", limit.limiter.len());
    }

    #[test]
    fn wrong_passwords_count_by_name_and_address_and_more_widely_by_name() {
        let limits = Limits::new(LimitSettings { requests: 0, logins: 2 });
        let (mira, from) = (Guessed::nobody("mira"), |last| Sender(IpAddr::from([10, 0, 0, last])));
        for _ in 0..100 {
            assert!(limits.of_password(&mira, &from(0)).is_ok());
            limits.was_not_wrong(&mira, &from(0));
        }
        for last in 0..10 {
            assert!(limits.of_password(&mira, &from(last)).is_ok());
            assert!(limits.of_password(&mira, &from(last)).is_ok());
            let refused = limits.of_password(&mira, &from(last)).unwrap_err();
            assert!(refused.code == Code::RateLimited && refused.retry_after_seconds > Some(0));
        }
        assert!(limits.of_password(&mira, &from(10)).is_err(), "guessed at from everywhere");
        assert!(limits.of_password(&Guessed::Account(UserId(1)), &from(0)).is_ok());
        assert!((0..100).all(|_| limits.of_account(UserId(1)).is_ok()));
    }

    #[test]
    fn a_network_of_ipv6_is_one_and_addresses_of_ipv4_are_many() {
        let network = |text: &str| one_network(text.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_ne!(network("10.0.0.1"), network("10.0.0.2"));
        assert_eq!(network("::ffff:10.0.0.1"), network("10.0.0.1"));
    }
}
