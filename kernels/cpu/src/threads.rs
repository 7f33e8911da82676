//! A persistent pool of threads that divides one job at a time.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::JoinHandle;

/// Threads that wait for work. A job is a number of tasks; whoever is free takes the next, the caller among them.
///
/// A caller that finds the pool at work for another does its job alone, so that jobs side by side never use more threads than
/// there are. Nothing is allocated by [`run`](ThreadPool::run), and nobody spins.
#[derive(Debug)]
pub struct ThreadPool {
    shared: Arc<Shared>,
    /// Held by the caller whose job the threads are on.
    turn: Mutex<()>,
    workers: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
    done: Condvar,
    next_task: AtomicUsize,
}

#[derive(Debug)]
struct State {
    job: Option<Job>,
    generation: u64,
    /// Workers that have yet to leave the present job.
    busy: usize,
    panicked: bool,
    closing: bool,
}

#[derive(Debug, Clone, Copy)]
struct Job {
    run: *const (dyn Fn(usize) + Sync),
    tasks: usize,
}

// SAFETY: the pointer is to a closure that is Sync, and `ThreadPool::run` does not return before every worker has left it.
unsafe impl Send for Job {}

impl ThreadPool {
    /// A pool in which `threads` threads work on a job, the caller's included.
    pub fn new(threads: NonZeroUsize) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State { job: None, generation: 0, busy: 0, panicked: false, closing: false }),
            work: Condvar::new(),
            done: Condvar::new(),
            next_task: AtomicUsize::new(0),
        });
        let workers = (1..threads.get())
            .filter_map(|index| {
                let shared = Arc::clone(&shared);
                // A machine that gives no more threads is served by fewer.
                std::thread::Builder::new().name(format!("kernel-{index}")).spawn(move || shared.work()).ok()
            })
            .collect();
        Self { shared, turn: Mutex::new(()), workers }
    }

    /// Threads that work on a job.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `task` for every index below `tasks`, in no order, and returns when all are done.
    ///
    /// *Panics*: if a task does.
    pub fn run(&self, tasks: usize, task: impl Fn(usize) + Sync) {
        let turn = match self.turn.try_lock() {
            Ok(turn) => Some(turn),
            // A task of the holder panicked; its job is over all the same.
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        if tasks < 2 || self.workers.is_empty() || turn.is_none() {
            (0..tasks).for_each(task);
            return;
        }
        let run: &(dyn Fn(usize) + Sync) = &task;
        // SAFETY: only the lifetime is changed. The job is taken back below, after every worker has left it, also when a
        // task panics.
        let run = unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(run) };
        {
            let mut state = self.shared.lock();
            self.shared.next_task.store(0, Ordering::Relaxed);
            state.job = Some(Job { run, tasks });
            state.generation += 1;
            state.busy = self.workers.len();
            state.panicked = false;
        }
        self.shared.work.notify_all();
        let own = catch_unwind(AssertUnwindSafe(|| self.shared.take_tasks(run, tasks)));
        let mut state = self.shared.lock();
        while state.busy > 0 {
            state = self.shared.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.job = None;
        let panicked = state.panicked;
        drop(state);
        if let Err(panic) = own {
            resume_unwind(panic);
        }
        assert!(!panicked, "a task of the thread pool panicked");
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.work.notify_all();
        for worker in self.workers.drain(..) {
            // A worker catches its tasks' panics, so joining does not fail.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_tasks(&self, run: &(dyn Fn(usize) + Sync), tasks: usize) {
        loop {
            let index = self.next_task.fetch_add(1, Ordering::Relaxed);
            if index >= tasks {
                return;
            }
            run(index);
        }
    }

    fn work(&self) {
        let mut seen = 0;
        let mut state = self.lock();
        loop {
            if state.closing {
                return;
            }
            let Some(job) = state.job.filter(|_| state.generation != seen) else {
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            seen = state.generation;
            drop(state);
            // SAFETY: the caller of this job waits until `busy` is zero, which is after this use.
            let run = unsafe { &*job.run };
            let outcome = catch_unwind(AssertUnwindSafe(|| self.take_tasks(run, job.tasks)));
            state = self.lock();
            state.panicked |= outcome.is_err();
            state.busy -= 1;
            if state.busy == 0 {
                self.done.notify_one();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    fn pool(threads: usize) -> ThreadPool {
        ThreadPool::new(NonZeroUsize::new(threads).expect("more than none"))
    }

    #[test]
    fn every_task_runs_once() {
        for threads in [1, 2, 5] {
            let pool = pool(threads);
            for tasks in [0, 1, 2, 7, 100] {
                let counts: Vec<AtomicU32> = (0..tasks).map(|_| AtomicU32::new(0)).collect();
                pool.run(tasks, |index| {
                    counts[index].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn jobs_side_by_side_all_finish() {
        let pool = pool(3);
        let total = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        pool.run(5, |_| {
                            total.fetch_add(1, Ordering::Relaxed);
                        });
                    }
                });
            }
        });
        assert_eq!(total.load(Ordering::Relaxed), 4 * 200 * 5);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_goes_on() {
        let pool = pool(3);
        let outcome = catch_unwind(AssertUnwindSafe(|| pool.run(50, |index| assert_ne!(index, 20))));
        assert!(outcome.is_err());
        let count = AtomicU32::new(0);
        pool.run(50, |_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(count.load(Ordering::Relaxed), 50);
    }
}
