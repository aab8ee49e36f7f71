//! The line of requests before the engine's thread, bounded. Requests whose client has left give their
//! place back. Knows nothing of models.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Something that may be abandoned while it waits.
pub(super) trait Abandonable {
    fn is_abandoned(&self) -> bool;
}

/// Why nothing can be added.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The queue is at its limit; so many wait.
    Full(usize),
    Closed,
}

pub(super) struct Queue<T> {
    limit: usize,
    state: Mutex<State<T>>,
    arrived: Condvar,
}

struct State<T> {
    waiting: Vec<T>,
    closed: bool,
}

impl<T: Abandonable> Queue<T> {
    pub(super) fn new(limit: usize) -> Self {
        let state = State { waiting: Vec::new(), closed: false };
        Self { limit, state: Mutex::new(state), arrived: Condvar::new() }
    }

    /// Appends, unless the line is full or closed.
    pub(super) fn push(&self, item: T) -> Result<(), Refused> {
        let mut state = self.lock();
        self.check(&mut state)?;
        state.waiting.push(item);
        self.arrived.notify_one();
        Ok(())
    }

    /// Whether one more could be appended now.
    pub(super) fn has_room(&self) -> Result<(), Refused> {
        self.check(&mut self.lock())
    }

    fn check(&self, state: &mut State<T>) -> Result<(), Refused> {
        if state.closed {
            return Err(Refused::Closed);
        }
        if state.waiting.len() >= self.limit {
            state.waiting.retain(|waiting| !waiting.is_abandoned());
        }
        if state.waiting.len() >= self.limit {
            return Err(Refused::Full(state.waiting.len()));
        }
        Ok(())
    }

    /// Takes the one that `choose` picks from those that wait, in the order they came. Who was
    /// abandoned isn't among them.
    pub(super) fn take(&self, choose: impl FnOnce(&[T]) -> Option<usize>) -> Option<T> {
        let mut state = self.lock();
        state.waiting.retain(|waiting| !waiting.is_abandoned());
        if state.waiting.is_empty() {
            return None;
        }
        let chosen = choose(&state.waiting)?;
        (chosen < state.waiting.len()).then(|| state.waiting.remove(chosen))
    }

    /// Shows those that wait, in the order they came.
    pub(super) fn look(&self, see: impl FnOnce(&[T])) {
        see(&self.lock().waiting);
    }

    /// Returns when somebody waits (true) or the queue is closed (false).
    pub(super) fn wait(&self) -> bool {
        let mut state = self.lock();
        while state.waiting.is_empty() && !state.closed {
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        !state.closed
    }

    /// Nothing can be added from now on; gives back what was waiting.
    pub(super) fn close(&self) -> Vec<T> {
        let mut state = self.lock();
        state.closed = true;
        self.arrived.notify_all();
        std::mem::take(&mut state.waiting)
    }

    /// How many wait for an answer.
    pub(super) fn waiting(&self) -> usize {
        self.lock().waiting.iter().filter(|item| !item.is_abandoned()).count()
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    struct Request {
        number: u32,
        abandoned: bool,
    }

    impl Abandonable for Request {
        fn is_abandoned(&self) -> bool {
            self.abandoned
        }
    }

    fn request(number: u32) -> Request {
        Request { number, abandoned: false }
    }

    fn first(waiting: &[Request]) -> Option<usize> {
        (!waiting.is_empty()).then_some(0)
    }

    #[test]
    fn a_full_queue_refuses() {
        let queue = Queue::new(1);
        queue.push(request(1)).unwrap();
        assert_eq!(queue.has_room(), Err(Refused::Full(1)));
        assert_eq!(queue.push(request(2)), Err(Refused::Full(1)));
        assert_eq!(queue.take(first), Some(request(1)));
        queue.push(request(3)).unwrap();
        assert_eq!(queue.take(|_| None), None);
    }

    #[test]
    fn who_left_makes_room() {
        let queue = Queue::new(1);
        queue.push(Request { number: 1, abandoned: true }).unwrap();
        assert_eq!(queue.waiting(), 0);
        queue.push(request(2)).unwrap();
        assert_eq!(queue.take(first), Some(request(2)));
    }

    #[test]
    fn closing_wakes_the_one_who_waits() {
        let queue = Queue::<Request>::new(1);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| queue.wait());
            queue.close();
            assert!(!waiting.join().unwrap());
        });
        assert_eq!(queue.push(request(1)), Err(Refused::Closed));
    }
}
