//! One binary: the whole server side of a WeChat mini-program.

use std::process::ExitCode;

/// Six to seven percent fewer instructions per request than the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    yunzhan_server::cli::main(std::env::args_os(), std::env::vars_os())
}
