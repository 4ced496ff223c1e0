//! Identity: who asks, and how they prove it.
