//! Yunzhan's built-in services: identity, documents, and the client dialects that speak for them.
