//! A value that follows the configuration while the server runs.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

/// Shared and swappable: readers never wait, a writer replaces the whole value. Clones see the same value.
#[derive(Debug)]
pub struct Live<T>(Arc<ArcSwap<T>>);

impl<T> Live<T> {
    /// A live value that begins as `value`.
    pub fn new(value: T) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(value)))
    }

    /// The value of this moment, for a short look; cheaper than [`Live::load`].
    pub fn peek(&self) -> Guard<Arc<T>> {
        self.0.load()
    }

    /// The value of this moment, to keep.
    pub fn load(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// Replaces the value for everyone.
    pub fn store(&self, value: T) {
        self.store_shared(Arc::new(value));
    }

    /// Replaces the value for everyone by one that is shared already.
    pub fn store_shared(&self, value: Arc<T>) {
        self.0.store(value);
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
