//! What the silicon allows: sums of products in registers, without memory, and reading without sums of products.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use serde::Serialize;

/// Billions of operations a second, by number type; a multiplication and an addition are two.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Ceiling {
    /// 32-bit floats.
    pub f32: f64,
    /// Pairs of bfloat16, or 0 without an instruction for them.
    pub bf16: f64,
    /// Bytes.
    pub int8: f64,
}

/// Rounds of the loops: about a tenth of a millisecond.
const ROUNDS: usize = 50_000;
/// How long each loop is tried; the best try counts.
const PATIENCE: Duration = Duration::from_millis(60);

/// Measures with so many threads at a time, on the best instructions that the CPU has.
pub fn measure(threads: usize) -> Ceiling {
    #[cfg(target_arch = "x86_64")]
    {
        use x86::*;
        let avx512 = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni");
        let bf16 = avx512 && is_x86_feature_detected!("avx512bf16");
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let vnni = avx2 && is_x86_feature_detected!("avxvnni");
        Ceiling {
            f32: match (avx512, avx2) {
                // SAFETY: detected. So for all of these.
                (true, _) => best(threads, 32 * CHAINS, || unsafe { f32_512(ROUNDS) }),
                // SAFETY: as above.
                (_, true) => best(threads, 16 * CHAINS, || unsafe { f32_256(ROUNDS) }),
                _ => 0.0,
            },
            // SAFETY: as above.
            bf16: if bf16 { best(threads, 64 * CHAINS, || unsafe { bf16_512(ROUNDS) }) } else { 0.0 },
            int8: match (avx512, vnni, avx2) {
                // SAFETY: as above.
                (true, ..) => best(threads, 128 * CHAINS, || unsafe { int8_512(ROUNDS) }),
                // SAFETY: as above.
                (_, true, _) => best(threads, 64 * CHAINS, || unsafe { int8_256(ROUNDS) }),
                // SAFETY: as above.
                (_, _, true) => best(threads, 64 * CHAINS, || unsafe { int8_avx2(ROUNDS) }),
                _ => 0.0,
            },
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = (threads, best);
        Ceiling::default()
    }
}

/// The best rate of all threads together, each running `work` at the same time.
fn best(threads: usize, operations_of_a_round: usize, work: impl Fn() + Sync) -> f64 {
    let barrier = Barrier::new(threads);
    let seconds = std::thread::scope(|scope| {
        let run = || {
            let mut least = f64::INFINITY;
            barrier.wait();
            let began = Instant::now();
            while began.elapsed() < PATIENCE {
                let start = Instant::now();
                work();
                least = least.min(start.elapsed().as_secs_f64());
            }
            least
        };
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        let own = run();
        others.into_iter().filter_map(|other| other.join().ok()).fold(own, f64::max)
    });
    (threads * operations_of_a_round * ROUNDS) as f64 / seconds / 1e9
}

/// Milliseconds in which so many threads together read so many bytes once, at best: what a token takes at least, that every weight
/// is read for.
pub fn reading_ms(threads: usize, bytes: usize) -> f64 {
    let memory = vec![1_u64; bytes / size_of::<u64>()];
    let part = memory.len().div_ceil(threads).max(1);
    let barrier = Barrier::new(threads);
    let slowest = std::thread::scope(|scope| {
        let running: Vec<_> = memory
            .chunks(part)
            .map(|part| {
                let barrier = &barrier;
                scope.spawn(move || {
                    let mut least = f64::INFINITY;
                    barrier.wait();
                    let began = Instant::now();
                    while began.elapsed() < 4 * PATIENCE {
                        let start = Instant::now();
                        black_box(sums(part));
                        least = least.min(start.elapsed().as_secs_f64());
                    }
                    least
                })
            })
            .collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).fold(0.0, f64::max)
    });
    slowest * 1e3
}

/// Sums that a compiler can turn into vectors, so that nothing but reading takes time.
fn sums(memory: &[u64]) -> [u64; 32] {
    let mut sums = [0_u64; 32];
    for line in memory.as_chunks().0 {
        let line: &[u64; 32] = line;
        for (sum, value) in sums.iter_mut().zip(line) {
            *sum ^= value;
        }
    }
    sums
}

/// Sums that do not wait for each other.
#[cfg(target_arch = "x86_64")]
const CHAINS: usize = 12;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{CHAINS, black_box};
    use std::arch::asm;
    use std::arch::x86_64::*;

    macro_rules! chains {
        ($name:ident, $features:literal, $zero:expr, |$sum:ident, $one:ident| $step:expr) => {
            #[target_feature(enable = $features)]
            pub(super) fn $name(rounds: usize) {
                let mut sums = [$zero; CHAINS];
                let $one = black_box($zero);
                for _ in 0..rounds {
                    for $sum in &mut sums {
                        *$sum = $step;
                    }
                    // SAFETY: it does nothing; the compiler only thinks that it might, and keeps the loop.
                    unsafe { asm!("", options(nomem, nostack, preserves_flags)) };
                }
                black_box(sums);
            }
        };
    }

    chains!(f32_512, "avx512f", _mm512_setzero_ps(), |sum, one| _mm512_fmadd_ps(one, one, *sum));
    chains!(f32_256, "avx2,fma", _mm256_setzero_ps(), |sum, one| _mm256_fmadd_ps(one, one, *sum));
    chains!(bf16_512, "avx512f,avx512bf16", _mm512_setzero_ps(), |sum, one| {
        // SAFETY: both are 64 bytes without invalid patterns.
        let one = unsafe { std::mem::transmute::<__m512, __m512bh>(one) };
        _mm512_dpbf16_ps(*sum, one, one)
    });
    chains!(int8_512, "avx512f,avx512vnni", _mm512_setzero_si512(), |sum, one| _mm512_dpbusd_epi32(*sum, one, one));
    chains!(int8_256, "avx2,avxvnni", _mm256_setzero_si256(), |sum, one| _mm256_dpbusd_avx_epi32(*sum, one, one));
    chains!(int8_avx2, "avx2", _mm256_setzero_si256(), |sum, one| {
        let pairs = _mm256_maddubs_epi16(black_box(one), one);
        _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, one))
    });
}
