//! A persistent pool of threads that divides one job at a time.

use std::cell::UnsafeCell;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::JoinHandle;

/// How often a thread looks for work, or for the end of work, before it sleeps: some tens of microseconds, which is less than
/// waking costs twice, and the time between two products of a decoder.
const LOOKS: u32 = if cfg!(miri) { 10 } else { 2_000 };

/// Threads that wait for work. A job is a number of tasks; whoever is free takes the next, the caller among them.
///
/// A caller that finds the pool at work for another does its job alone. A caller waits only for threads that have joined its job:
/// one that is slow to wake up holds up nobody. Nothing is allocated by [`run`](ThreadPool::run), and nobody spins for longer
/// than it takes to wake a thread.
#[derive(Debug)]
pub struct ThreadPool {
    shared: Arc<Shared>,
    /// Held by the caller whose job the threads are on.
    turn: Mutex<()>,
    workers: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    /// [`Phase`] in one number.
    phase: AtomicU64,
    /// Written by the caller while the job is closed and nobody is in it; read by who has joined.
    job: UnsafeCell<Option<Job>>,
    next_task: AtomicUsize,
    panicked: AtomicBool,
    closing: AtomicBool,
    /// Threads that sleep, or are about to.
    sleepers: AtomicUsize,
    sleep: Mutex<()>,
    work: Condvar,
    done: Condvar,
}

// SAFETY: `job` is the only part that is not; the phase orders its accesses, as it says.
unsafe impl Sync for Shared {}
// SAFETY: as above, and the closure that a job points to is Sync.
unsafe impl Send for Shared {}

/// Which job is on (32 bits), whether it is open (1), and how many threads have not left it (31).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Phase(u64);

impl Phase {
    const OPEN: u64 = 1 << 31;

    fn next(self) -> Self {
        Self(((self.0 >> 32) + 1) << 32 | Self::OPEN)
    }

    fn job(self) -> u64 {
        self.0 >> 32
    }

    fn is_open(self) -> bool {
        self.0 & Self::OPEN != 0
    }

    fn joined(self) -> u64 {
        self.0 & (Self::OPEN - 1)
    }
}

#[derive(Debug, Clone, Copy)]
struct Job {
    run: *const (dyn Fn(usize, usize) + Sync),
    tasks: usize,
}

impl ThreadPool {
    /// A pool in which `threads` threads work on a job, the caller's included.
    pub fn new(threads: NonZeroUsize) -> Self {
        let shared = Arc::new(Shared {
            phase: AtomicU64::new(0),
            job: UnsafeCell::new(None),
            next_task: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            sleepers: AtomicUsize::new(0),
            sleep: Mutex::new(()),
            work: Condvar::new(),
            done: Condvar::new(),
        });
        let workers = (1..threads.get())
            .filter_map(|index| {
                let shared = Arc::clone(&shared);
                // A machine that gives no more threads is served by fewer.
                std::thread::Builder::new().name(format!("kernel-{index}")).spawn(move || shared.work(index)).ok()
            })
            .collect();
        Self { shared, turn: Mutex::new(()), workers }
    }

    /// Threads that work on a job.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `task` for every index below `tasks`, in no order, and returns when all are done. The second argument is the
    /// number of the thread, below [`threads`](Self::threads): no two tasks of a job run at a time with the same.
    ///
    /// *Panics*: if a task does.
    pub fn run(&self, tasks: usize, task: impl Fn(usize, usize) + Sync) {
        if tasks < 2 || self.workers.is_empty() {
            return (0..tasks).for_each(|index| task(index, 0));
        }
        let _turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            // A task of the holder panicked; its job is over all the same.
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return (0..tasks).for_each(|index| task(index, 0)),
        };
        let run: &(dyn Fn(usize, usize) + Sync) = &task;
        // SAFETY: only the lifetime is changed. Nobody uses the job below after the wait for all who joined it, which
        // happens also when a task panics.
        let run = unsafe {
            std::mem::transmute::<&(dyn Fn(usize, usize) + Sync), &'static (dyn Fn(usize, usize) + Sync)>(run)
        };
        let shared = &*self.shared;
        // SAFETY: the last job is closed and everybody has left it, and this caller alone has the turn.
        unsafe { *shared.job.get() = Some(Job { run, tasks }) };
        shared.next_task.store(0, Ordering::Relaxed);
        shared.panicked.store(false, Ordering::Relaxed);
        shared.phase.store(shared.phase(Ordering::Relaxed).next().0, Ordering::SeqCst);
        if shared.sleepers.load(Ordering::SeqCst) > 0 {
            drop(shared.lock());
            shared.work.notify_all();
        }
        let own = catch_unwind(AssertUnwindSafe(|| shared.take_tasks(run, tasks, 0)));
        shared.phase.fetch_and(!Phase::OPEN, Ordering::AcqRel);
        shared.await_leaving();
        if let Err(panic) = own {
            resume_unwind(panic);
        }
        assert!(!shared.panicked.load(Ordering::Relaxed), "a task of the thread pool panicked");
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        drop(self.shared.lock());
        self.shared.work.notify_all();
        for worker in self.workers.drain(..) {
            // A worker catches its tasks' panics, so joining does not fail.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, ()> {
        self.sleep.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn phase(&self, ordering: Ordering) -> Phase {
        Phase(self.phase.load(ordering))
    }

    fn take_tasks(&self, run: &(dyn Fn(usize, usize) + Sync), tasks: usize, thread: usize) {
        loop {
            let index = self.next_task.fetch_add(1, Ordering::Relaxed);
            if index >= tasks {
                return;
            }
            run(index, thread);
        }
    }

    /// Waits until everybody has left a job that is closed.
    fn await_leaving(&self) {
        for _ in 0..LOOKS {
            if self.phase(Ordering::Acquire).joined() == 0 {
                return;
            }
            std::hint::spin_loop();
        }
        let mut guard = self.lock();
        while self.phase(Ordering::Acquire).joined() > 0 {
            guard = self.done.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(&self, thread: usize) {
        let mut seen = 0;
        while let Some(job) = self.join(&mut seen) {
            // SAFETY: the caller of this job waits until this thread has left it, which is after this use.
            let run = unsafe { &*job.run };
            let outcome = catch_unwind(AssertUnwindSafe(|| self.take_tasks(run, job.tasks, thread)));
            if outcome.is_err() {
                self.panicked.store(true, Ordering::Relaxed);
            }
            let before = Phase(self.phase.fetch_sub(1, Ordering::AcqRel));
            if before.joined() == 1 && !before.is_open() {
                // Whoever has looked at the phase under the lock is waiting by now.
                drop(self.lock());
                self.done.notify_one();
            }
        }
    }

    /// Joins the next job, waiting for it; `None` when the pool closes. `seen` is the number of the last.
    fn join(&self, seen: &mut u64) -> Option<Job> {
        let mut looks = 0;
        loop {
            if self.closing.load(Ordering::Relaxed) {
                return None;
            }
            let phase = self.phase(Ordering::Acquire);
            let joined = Phase(phase.0 + 1);
            if !phase.is_open() || phase.job() == *seen {
                looks += 1;
                if looks < LOOKS {
                    std::hint::spin_loop();
                } else {
                    self.sleep(*seen);
                    looks = 0;
                }
            } else if self.phase.compare_exchange(phase.0, joined.0, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                *seen = phase.job();
                // SAFETY: it joined an open job, which is not changed before it has left.
                return unsafe { *self.job.get() };
            }
        }
    }

    /// Sleeps until there is a job that this thread has not seen, or the pool closes.
    fn sleep(&self, seen: u64) {
        let mut guard = self.lock();
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        // Either this sees the new phase, or its caller sees the sleeper: both are in one order.
        while !self.closing.load(Ordering::SeqCst) {
            let phase = self.phase(Ordering::SeqCst);
            if phase.is_open() && phase.job() != seen {
                break;
            }
            guard = self.work.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
        drop(guard);
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
                pool.run(tasks, |index, thread| {
                    assert!(thread < threads);
                    counts[index].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn sleepers_wake_for_the_next_job() {
        let pool = pool(3);
        for _ in 0..5 {
            std::thread::sleep(std::time::Duration::from_millis(3));
            let threads: [AtomicU32; 3] = Default::default();
            // Tasks that wait for each other are done only if every thread takes part.
            let arrived = std::sync::Barrier::new(3);
            pool.run(3, |_, thread| {
                threads[thread].fetch_add(1, Ordering::Relaxed);
                arrived.wait();
            });
            assert!(threads.iter().all(|count| count.load(Ordering::Relaxed) == 1));
        }
    }

    #[test]
    fn jobs_side_by_side_all_finish() {
        let pool = pool(3);
        let total = AtomicU32::new(0);
        let rounds = if cfg!(miri) { 10 } else { 200 };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..rounds {
                        pool.run(5, |_, _| {
                            total.fetch_add(1, Ordering::Relaxed);
                        });
                    }
                });
            }
        });
        assert_eq!(total.load(Ordering::Relaxed), 4 * rounds * 5);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_goes_on() {
        let pool = pool(3);
        let outcome = catch_unwind(AssertUnwindSafe(|| pool.run(50, |index, _| assert_ne!(index, 20))));
        assert!(outcome.is_err());
        let count = AtomicU32::new(0);
        pool.run(50, |_, _| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(count.load(Ordering::Relaxed), 50);
    }
}
