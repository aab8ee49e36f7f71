//! The places for requests that the provider works on at the same time, and the bounded line before
//! them. Clients take turns. Who leaves gives the place back, in the line as well as after it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::engine::ClientId;
use crate::engine::turns::fair_order;

pub(super) struct Places {
    most: usize,
    longest_line: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: Vec<ClientId>,
    waiting: Vec<Waiting>,
    lined_up: u64,
}

struct Waiting {
    number: u64,
    client: ClientId,
    admit: oneshot::Sender<Place>,
}

/// Somebody's place in the line.
pub(super) struct Turn {
    number: u64,
    places: Arc<Places>,
    admitted: oneshot::Receiver<Place>,
}

/// The right to one request at the provider, until it is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    client: ClientId,
}

impl Places {
    pub(super) fn new(most: usize, longest_line: usize) -> Arc<Self> {
        Arc::new(Self { most, longest_line, state: Mutex::default() })
    }

    /// Joins the line, unless it is at its limit; then so many wait.
    pub(super) fn line_up(self: &Arc<Self>, client: ClientId) -> Result<Turn, usize> {
        self.has_room()?;
        let (admit, admitted) = oneshot::channel();
        let mut state = self.lock();
        state.lined_up += 1;
        let number = state.lined_up;
        state.waiting.push(Waiting { number, client, admit });
        drop(state);
        self.let_in();
        Ok(Turn { number, places: Arc::clone(self), admitted })
    }

    /// Whether one more could join the line now; if not, how many wait.
    pub(super) fn has_room(&self) -> Result<(), usize> {
        let waiting = self.waiting();
        if waiting < self.longest_line { Ok(()) } else { Err(waiting) }
    }

    pub(super) fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    pub(super) fn running(&self) -> usize {
        self.lock().running.len()
    }

    fn let_in(self: &Arc<Self>) {
        while let Some((admit, client)) = self.next() {
            let place = Place { places: Arc::clone(self), client };
            // Who left meanwhile doesn't take it; then it is dropped, and so given back.
            drop(admit.send(place));
        }
    }

    fn next(&self) -> Option<(oneshot::Sender<Place>, ClientId)> {
        let mut state = self.lock();
        if state.running.len() >= self.most {
            return None;
        }
        let waiting: Vec<_> = state.waiting.iter().map(|waiting| &waiting.client).collect();
        let running: Vec<_> = state.running.iter().collect();
        let next = *fair_order(&waiting, &running, usize::MAX).first()?;
        let Waiting { client, admit, .. } = state.waiting.remove(next);
        state.running.push(client.clone());
        Some((admit, client))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Waits for it.
    pub(super) async fn come(&mut self) -> Option<Place> {
        (&mut self.admitted).await.ok()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.places.lock().waiting.retain(|waiting| waiting.number != self.number);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.places.lock();
        if let Some(place) = state.running.iter().position(|client| *client == self.client) {
            state.running.swap_remove(place);
        }
        drop(state);
        self.places.let_in();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(name: &str) -> ClientId {
        ClientId::new(name)
    }

    #[tokio::test]
    async fn a_place_that_is_given_back_goes_to_whoever_has_least() {
        let places = Places::new(2, 8);
        let mut many: Vec<_> = (0..4).map(|_| places.line_up(client("many")).unwrap()).collect();
        let mut one = places.line_up(client("one")).unwrap();
        let first = many[0].come().await.unwrap();
        assert_eq!((places.running(), places.waiting()), (2, 3));
        drop(first);
        let _one = one.come().await.unwrap();
        assert_eq!((places.running(), places.waiting()), (2, 2));
    }

    #[tokio::test]
    async fn who_leaves_the_line_or_never_takes_the_place_makes_room() {
        let places = Places::new(1, 1);
        let taken = places.line_up(client("a")).unwrap();
        let waits = places.line_up(client("b")).unwrap();
        assert_eq!(places.line_up(client("c")).err(), Some(1));
        drop(waits);
        let mut next = places.line_up(client("c")).unwrap();
        drop(taken);
        assert!(next.come().await.is_some());
    }
}
