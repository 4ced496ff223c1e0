//! From listener to upstream: the ordered stages that every request of Yunzhan passes.
