//! The `shoal` binary: understand the command line, run it, end with its code.

use shoal::{cli, exit::Exit};

/// Frames and blocks are allocated in one thread and freed in another; this allocator keeps freed
/// ones for reuse, which halves the time of a fetch.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Most threads that run tasks: hashing and disk work have threads of their own.
const WORKERS_MAX: usize = 4;

/// Fewest threads that run tasks: one that is busy must not hold up the others.
const WORKERS_MIN: usize = 2;

fn main() -> ! {
    let exit = match cli::parse() {
        Ok(invocation) => run(invocation),
        Err(exit) => exit,
    };
    // Not by returning: a read of standard input that nobody ends would hold the process.
    std::process::exit(exit.code().into())
}

fn run(invocation: cli::Invocation) -> Exit {
    let cores = std::thread::available_parallelism().map_or(WORKERS_MIN, usize::from);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.clamp(WORKERS_MIN, WORKERS_MAX))
        .enable_all()
        .build()
        .expect("a process that may not make a thread cannot do anything")
        .block_on(cli::run(invocation))
}
