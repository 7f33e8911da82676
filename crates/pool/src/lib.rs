//! Fixed-capacity pools of page-aligned buffers: a lease returns its buffer when it is dropped.
//!
//! A pool holds a number of buffers of one length, made when first needed and touched then, so that no page faults later. It
//! never makes more than its capacity: a pool without a free buffer answers [`Exhausted`], which is back-pressure, not failure.
//! [`Pool::shrink`] gives the memory of free buffers back when a program is idle.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of a page; buffers begin on one, so that a device can read them where they lie.
pub const PAGE_BYTES: usize = 4096;
const PAGE_VALUES: usize = PAGE_BYTES / size_of::<f32>();

/// All buffers of a pool are in use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("all {capacity} buffers of the pool \"{pool}\" are in use")]
pub struct Exhausted {
    /// The pool's name.
    pub pool: &'static str,
    /// Its capacity.
    pub capacity: usize,
}

/// What a pool has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStats {
    /// The pool's name.
    pub name: &'static str,
    /// Buffers that it may have.
    pub capacity: usize,
    /// Buffers that are leased.
    pub in_use: usize,
    /// Most that were leased at a time.
    pub high_water: usize,
    /// Leases that found a buffer ready.
    pub hits: u64,
    /// Leases for which a buffer had to be made.
    pub misses: u64,
    /// Leases that were refused.
    pub refused: u64,
    /// Bytes that its buffers hold, leased or free.
    pub bytes: usize,
}

/// A pool of buffers of 32-bit floats. Cheap to clone: clones are the same pool.
#[derive(Debug, Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: &'static str,
    capacity: usize,
    values: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    free: Vec<Aligned>,
    in_use: usize,
    high_water: usize,
    hits: u64,
    misses: u64,
    refused: u64,
}

/// Memory with room to begin on a page.
#[derive(Debug)]
struct Aligned {
    memory: Vec<f32>,
    offset: usize,
}

impl Aligned {
    fn new(values: usize) -> Self {
        let memory = vec![0.0; values + PAGE_VALUES];
        let offset = memory.as_ptr().align_offset(PAGE_BYTES).min(PAGE_VALUES);
        let mut aligned = Self { memory, offset };
        // Fresh zeros are pages that do not exist yet: writing makes them.
        for value in aligned.memory.iter_mut().step_by(PAGE_VALUES) {
            *value = f32::MIN_POSITIVE;
        }
        aligned
    }
}

impl Pool {
    /// A pool of at most `capacity` buffers of `values` floats each.
    pub fn new(name: &'static str, capacity: usize, values: usize) -> Self {
        Self { shared: Arc::new(Shared { name, capacity, values, state: Mutex::default() }) }
    }

    /// A buffer, with whatever its last user left in it.
    ///
    /// # Errors
    /// [`Exhausted`] when all are in use.
    pub fn lease(&self) -> Result<Lease, Exhausted> {
        let mut state = self.shared.lock();
        if state.in_use == self.shared.capacity {
            state.refused += 1;
            return Err(Exhausted { pool: self.shared.name, capacity: self.shared.capacity });
        }
        state.in_use += 1;
        state.high_water = state.high_water.max(state.in_use);
        let ready = state.free.pop();
        if ready.is_some() {
            state.hits += 1;
        } else {
            state.misses += 1;
        }
        drop(state);
        let buffer = ready.unwrap_or_else(|| Aligned::new(self.shared.values));
        Ok(Lease { buffer: Some(buffer), shared: Arc::clone(&self.shared) })
    }

    /// Gives the memory of all free buffers back to the system.
    pub fn shrink(&self) {
        let free = std::mem::take(&mut self.shared.lock().free);
        drop(free);
    }

    /// What the pool has done so far.
    pub fn stats(&self) -> PoolStats {
        let state = self.shared.lock();
        PoolStats {
            name: self.shared.name,
            capacity: self.shared.capacity,
            in_use: state.in_use,
            high_water: state.high_water,
            hits: state.hits,
            misses: state.misses,
            refused: state.refused,
            bytes: (state.in_use + state.free.len()) * (self.shared.values * size_of::<f32>() + PAGE_BYTES),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the counters and the list whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A buffer for a while. Dropping it, on whatever path, returns it.
#[derive(Debug)]
pub struct Lease {
    buffer: Option<Aligned>,
    shared: Arc<Shared>,
}

impl Deref for Lease {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &self.buffer {
            Some(buffer) => &buffer.memory[buffer.offset..buffer.offset + self.shared.values],
            None => &[],
        }
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut [f32] {
        match &mut self.buffer {
            Some(buffer) => &mut buffer.memory[buffer.offset..buffer.offset + self.shared.values],
            None => &mut [],
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.in_use -= 1;
        state.free.extend(self.buffer.take());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buffers_begin_on_a_page_and_come_back() {
        let pool = Pool::new("test", 2, 5000);
        let first = pool.lease().expect("two are there");
        assert_eq!(first.as_ptr() as usize % PAGE_BYTES, 0);
        assert_eq!(first.len(), 5000);
        let second = pool.lease().expect("one is left");
        assert_eq!(pool.lease().expect_err("none is left"), Exhausted { pool: "test", capacity: 2 });
        drop(first);
        let third = pool.lease().expect("one came back");
        let stats = pool.stats();
        assert_eq!((stats.in_use, stats.high_water, stats.hits, stats.misses, stats.refused), (2, 2, 1, 2, 1));
        drop((second, third));
        pool.shrink();
        assert_eq!((pool.stats().in_use, pool.stats().bytes), (0, 0));
    }

    #[test]
    fn a_panic_returns_its_lease() {
        let pool = Pool::new("test", 1, 10);
        let outcome = std::panic::catch_unwind(|| {
            let _lease = pool.lease();
            panic!("while it holds a lease");
        });
        assert!(outcome.is_err());
        assert_eq!(pool.stats().in_use, 0);
    }

    #[test]
    fn threads_never_have_more_than_there_are() {
        let pool = Pool::new("test", 3, 100);
        std::thread::scope(|scope| {
            for thread in 0..4_u8 {
                let pool = &pool;
                scope.spawn(move || {
                    for _ in 0..500 {
                        if let Ok(mut lease) = pool.lease() {
                            lease.fill(f32::from(thread));
                            std::thread::yield_now();
                            assert!(lease.iter().all(|value| *value == f32::from(thread)));
                        }
                    }
                });
            }
        });
        let stats = pool.stats();
        assert!(stats.in_use == 0 && stats.high_water <= 3 && stats.misses <= 3);
    }

    proptest! {
        #[test]
        fn counters_agree_with_any_history(steps in prop::collection::vec(any::<bool>(), 0..60)) {
            let pool = Pool::new("test", 4, 8);
            let mut held = Vec::new();
            for lease in steps {
                if lease {
                    match pool.lease() {
                        Ok(lease) => held.push(lease),
                        Err(_) => prop_assert_eq!(held.len(), 4),
                    }
                } else {
                    held.pop();
                }
                prop_assert_eq!(pool.stats().in_use, held.len());
            }
        }
    }
}
