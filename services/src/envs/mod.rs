//! Environments: the mini-programs that live on this server.
