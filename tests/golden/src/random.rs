//! SplitMix64, by position instead of by state: the same numbers in Python and here.
//!
//! *Source*: <https://prng.di.unimi.it/splitmix64.c>

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The numbers of one seed.
pub(crate) fn stream(seed: u64) -> impl Iterator<Item = u64> {
    (1_u64..).map(move |index| {
        let mut value = seed.wrapping_add(index.wrapping_mul(GOLDEN));
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    })
}

/// The seed of what has a name: its FNV-1a hash, mixed with the seed of the whole.
pub(crate) fn seed_of(name: &str, seed: u64) -> u64 {
    let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    name.bytes().fold(0xcbf2_9ce4_8422_2325, hash) ^ seed
}

/// Uniform noise below `amplitude`, a power of two.
pub fn noise(seed: u64, samples: usize, amplitude: f32) -> Vec<f32> {
    stream(seed).take(samples).map(|value| ((value >> 40) as f32 / (1 << 23) as f32 - 1.0) * amplitude).collect()
}
