//! Identifiers: newtypes over UUIDv7, so that they sort by the time they were made. Made from the
//! [`Clock`] and a generator that tests seed, so that a test's ids are the same in every run.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Clock;

/// Names one receipt: what the model saw of one request, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ReceiptId(Uuid);

impl fmt::Display for ReceiptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ReceiptId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::from_str(text).map(Self)
    }
}

/// Makes identifiers.
#[derive(Clone)]
pub struct Ids {
    clock: Clock,
    random: Arc<Mutex<ChaCha12Rng>>,
}

impl Ids {
    /// Ids nobody can foresee.
    pub fn unpredictable(clock: Clock) -> Self {
        Self::from_generator(clock, rand::make_rng())
    }

    /// The same ids in every run; for tests.
    pub fn seeded(clock: Clock, seed: u64) -> Self {
        Self::from_generator(clock, ChaCha12Rng::seed_from_u64(seed))
    }

    fn from_generator(clock: Clock, random: ChaCha12Rng) -> Self {
        Self { clock, random: Arc::new(Mutex::new(random)) }
    }

    pub fn receipt(&self) -> ReceiptId {
        ReceiptId(self.uuid())
    }

    /// A name for a session that the client doesn't name.
    pub fn session(&self) -> String {
        self.uuid().to_string()
    }

    /// A name for a user, on the wire and in tokens.
    pub fn user(&self) -> String {
        self.uuid().to_string()
    }

    /// A name for a login, or for one token of it.
    pub fn login(&self) -> String {
        self.uuid().to_string()
    }

    /// Bytes that nobody can guess.
    pub fn secret<const BYTES: usize>(&self) -> [u8; BYTES] {
        let mut bytes = [0_u8; BYTES];
        self.random.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut bytes);
        bytes
    }

    /// A seed for the sampler of a request that names none.
    pub fn sampler_seed(&self) -> u32 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).next_u32()
    }

    fn uuid(&self) -> Uuid {
        let mut bytes = [0_u8; 10];
        self.random.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut bytes);
        let millis = u64::try_from(self.clock.now().as_millisecond()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid()
    }
}
