//! The clients' dialects: thin JSON fronts over the services.
