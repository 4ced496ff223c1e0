//! What every room of Yunzhan needs to act in time: outbound HTTP, deadlines, shutdown, background tasks.
