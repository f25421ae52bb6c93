//! The pool's promises: bounded, answered exactly once, in time, whatever the work does.
//!
//! Work is held up by channels and never by sleeping. A reply is a channel too, so what was answered,
//! and whether it was, can be asked.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// A reply that tells what became of it.
struct Reply(Sender<Result<u32, FsError>>);

impl Refuse for Reply {
    fn refuse(self, error: FsError) {
        self.0.send(Err(error)).unwrap();
    }
}

fn reply() -> (Reply, Receiver<Result<u32, FsError>>) {
    let (sender, receiver) = channel();
    (Reply(sender), receiver)
}

fn pool(threads_max: usize, queue_max: usize, guard: Duration) -> Pool {
    Pool::new("test", Limits { threads_max, queue_max, guard })
}

fn give(ticket: Ticket<Reply>, value: u32) -> bool {
    ticket.take().map(|reply| reply.0.send(Ok(value)).unwrap()).is_some()
}

#[test]
fn work_is_done_and_workers_are_used_again() {
    let pool = pool(2, 8, PATIENCE);
    for value in 0..100 {
        let (reply, answer) = reply();
        pool.submit(reply, move |ticket| {
            give(ticket, value);
        });
        assert_eq!(answer.recv_timeout(PATIENCE).unwrap(), Ok(value));
    }
    assert!(pool.0.state.lock().threads <= 2);
}

#[test]
fn a_panic_is_answered_and_costs_no_thread() {
    let pool = pool(1, 8, PATIENCE);
    let (bad, bad_answer) = reply();
    pool.submit(bad, |_ticket| panic!("told to"));
    assert_eq!(bad_answer.recv_timeout(PATIENCE).unwrap(), Err(FsError::Panicked));
    let (good, good_answer) = reply();
    pool.submit(good, |ticket| {
        give(ticket, 1);
    });
    assert_eq!(good_answer.recv_timeout(PATIENCE).unwrap(), Ok(1));
}

#[test]
fn what_never_comes_back_is_refused_in_time_and_finds_its_reply_gone() {
    let pool = pool(1, 8, Duration::from_millis(100));
    let (open, gate) = channel::<()>();
    let (told, outcome) = channel();
    let (stuck, stuck_answer) = reply();
    pool.submit(stuck, move |ticket| {
        gate.recv().unwrap();
        told.send(give(ticket, 1)).unwrap();
    });
    // Queued behind it, never begun.
    let (queued, queued_answer) = reply();
    pool.submit(queued, |ticket| {
        give(ticket, 2);
    });
    assert_eq!(stuck_answer.recv_timeout(PATIENCE).unwrap(), Err(FsError::Overdue));
    assert_eq!(queued_answer.recv_timeout(PATIENCE).unwrap(), Err(FsError::Overdue));
    open.send(()).unwrap();
    assert!(!outcome.recv_timeout(PATIENCE).unwrap(), "the worker must find its reply gone");
}

#[test]
fn a_full_queue_refuses_at_once() {
    let pool = pool(1, 1, PATIENCE);
    let (open, gate) = channel::<()>();
    let (begun, running) = channel();
    let (first, first_answer) = reply();
    pool.submit(first, move |ticket| {
        begun.send(()).unwrap();
        gate.recv().unwrap();
        give(ticket, 1);
    });
    running.recv_timeout(PATIENCE).unwrap();
    let (second, second_answer) = reply();
    pool.submit(second, |ticket| {
        give(ticket, 2);
    });
    let (third, third_answer) = reply();
    pool.submit(third, |ticket| {
        give(ticket, 3);
    });
    assert_eq!(third_answer.try_recv().unwrap(), Err(FsError::Overdue));
    open.send(()).unwrap();
    assert_eq!(first_answer.recv_timeout(PATIENCE).unwrap(), Ok(1));
    assert_eq!(second_answer.recv_timeout(PATIENCE).unwrap(), Ok(2));
}

#[test]
fn threads_run_side_by_side_up_to_the_limit() {
    let pool = pool(3, 8, PATIENCE);
    let barrier = Arc::new(std::sync::Barrier::new(3));
    let answers: Vec<_> = (0..3)
        .map(|value| {
            let (reply, answer) = reply();
            let barrier = Arc::clone(&barrier);
            pool.submit(reply, move |ticket| {
                barrier.wait();
                give(ticket, value);
            });
            answer
        })
        .collect();
    for answer in answers {
        assert!(answer.recv_timeout(PATIENCE).unwrap().is_ok());
    }
}
