//! The `shoal` binary: understand the command line, run it, end with its code.
//!
//! It owns what belongs to a process and not to a library: the allocator, the runtime, and what a panic prints.
//! Everything else is in the library.

use std::time::Duration;

use shoal::{cli, exit::Exit};

/// Frames and blocks are allocated in one thread and freed in another; this allocator keeps freed
/// ones for reuse, which halves the time of a fetch.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Most threads that run tasks: hashing and disk work have threads of their own.
const WORKERS_MAX: usize = 4;

/// Fewest threads that run tasks: one that is busy must not hold up the others.
const WORKERS_MIN: usize = 2;

/// How long a process that has closed its store waits for work on the disk that is still going on, such as
/// removing what a `get` had half written.
const LINGER_MAX: Duration = Duration::from_secs(1);

fn main() -> ! {
    keep_quiet_about_damage();
    let exit = match cli::parse() {
        Ok(invocation) => run(invocation),
        Err(exit) => exit,
    };
    // Not by returning: a read of standard input that nobody ends would hold the process.
    std::process::exit(exit.code().into())
}

fn run(invocation: cli::Invocation) -> Exit {
    let cores = std::thread::available_parallelism().map_or(WORKERS_MIN, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.clamp(WORKERS_MIN, WORKERS_MAX))
        .enable_all()
        .build()
        .expect("a process that may not make a thread cannot do anything");
    let exit = runtime.block_on(cli::run(invocation));
    runtime.shutdown_timeout(LINGER_MAX);
    exit
}

/// A panic that the store catches becomes an error that is told: it needs no line and no backtrace.
fn keep_quiet_about_damage() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !shoal_store::is_guarded() {
            tell(panic);
        }
    }));
}
