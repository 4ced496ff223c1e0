//! Yunzhan's own tools: ci, tidy, bench.
fn main() {}
