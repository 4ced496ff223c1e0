//! MongoDB-shaped documents without a database: Extended JSON, filters, updates, index keys.
