//! An allocator that counts how often memory is asked for, by whatever thread.

#![allow(dead_code, reason = "each test needs one of the two counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// From so many bytes on, memory could hold a copy of the samples of a test.
const LARGE_BYTES: usize = 100_000;

struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);
static LARGE: AtomicUsize = AtomicUsize::new(0);

/// Times that memory was asked for.
pub fn count() -> usize {
    COUNT.load(Ordering::Relaxed)
}

/// Times that room for a copy was asked for.
pub fn large() -> usize {
    LARGE.load(Ordering::Relaxed)
}

fn note(bytes: usize) {
    COUNT.fetch_add(1, Ordering::Relaxed);
    LARGE.fetch_add(usize::from(bytes >= LARGE_BYTES), Ordering::Relaxed);
}

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: passed on from the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: passed on from the caller.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: passed on from the caller.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        // SAFETY: passed on from the caller.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
