//! Documents: MongoDB-shaped collections with permissions.
