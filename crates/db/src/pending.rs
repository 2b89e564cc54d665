//! Waiting for the commit loop without knowing how the caller waits.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::{Condvar, Mutex};

/// A result that the commit loop will give. It is a [`Future`] for those who have a runtime, and can be waited for
/// by blocking the thread for those who have none.
pub struct Pending<T>(Arc<Slot<T>>);

/// The other end: gives the result.
pub(crate) struct Promise<T>(Arc<Slot<T>>);

struct Slot<T> {
    state: Mutex<State<T>>,
    ready: Condvar,
}

struct State<T> {
    value: Option<T>,
    waker: Option<Waker>,
}

pub(crate) fn pair<T>() -> (Promise<T>, Pending<T>) {
    let slot = Arc::new(Slot { state: Mutex::new(State { value: None, waker: None }), ready: Condvar::new() });
    (Promise(Arc::clone(&slot)), Pending(slot))
}

impl<T> Promise<T> {
    pub(crate) fn give(self, value: T) {
        let waker = {
            let mut state = self.0.state.lock();
            state.value = Some(value);
            state.waker.take()
        };
        self.0.ready.notify_one();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Pending<T> {
    /// Blocks this thread until the result is there.
    pub fn wait(self) -> T {
        let mut state = self.0.state.lock();
        loop {
            if let Some(value) = state.value.take() {
                return value;
            }
            self.0.ready.wait(&mut state);
        }
    }
}

impl<T> Future for Pending<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut state = self.0.state.lock();
        if let Some(value) = state.value.take() {
            return Poll::Ready(value);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}
