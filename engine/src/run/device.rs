//! One heavy node at a time, in however many runs.

use std::sync::{Mutex, PoisonError};

/// What computes the heavy nodes. Runs that share one may overlap: while a heavy node of one is at work, the light nodes of
/// the others read, write and prepare.
#[derive(Default)]
pub struct Device {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    taken: bool,
    /// Who is told once it is free.
    waiting: Vec<Box<dyn FnOnce() + Send>>,
}

impl Device {
    /// One that is free.
    pub const fn new() -> Self {
        Self { state: Mutex::new(State { taken: false, waiting: Vec::new() }) }
    }

    /// Takes it until what this gives is dropped. When it is taken already, the word that `call` makes is spoken once it is
    /// free; then whoever tries first has it.
    pub(super) fn take<F: FnOnce() + Send + 'static>(&self, call: impl FnOnce() -> F) -> Option<Turn<'_>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.taken {
            state.waiting.push(Box::new(call()));
            return None;
        }
        state.taken = true;
        Some(Turn(self))
    }
}

/// The right to compute.
pub(super) struct Turn<'a>(&'a Device);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let waiting = {
            let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.taken = false;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(|call| call());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn who_waits_is_told() {
        let device = Device::new();
        let (sender, receiver) = mpsc::channel();
        let call = || {
            let sender = sender.clone();
            move || sender.send(()).unwrap()
        };
        let turn = device.take(call).expect("it is free");
        assert!(device.take(call).is_none() && device.take(call).is_none());
        assert_eq!(receiver.try_iter().count(), 0);
        drop(turn);
        assert_eq!(receiver.try_iter().count(), 2);
        assert!(device.take(call).is_some());
    }
}
