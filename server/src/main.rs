//! One binary: the whole server side of a WeChat mini-program.
fn main() {}
