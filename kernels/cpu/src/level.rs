//! Which instruction set is used.

use std::sync::OnceLock;

/// An instruction set, from the least to the best. Holding a value other than [`Scalar`](Level::Scalar) proves that the CPU
/// has it: only [`Level::best`] and [`Level::available`] make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Level {
    /// No vector instructions beyond what the compiler assumes.
    Scalar,
    /// AVX2 and FMA.
    Avx2,
    /// AVX2, FMA and AVX-VNNI: sums of 8-bit products in 256 bits.
    AvxVnni,
    /// AVX-512 F, BW, VL, DQ and VNNI.
    Avx512,
    /// As above, with AVX-512 BF16.
    Avx512Bf16,
}

impl Level {
    const ALL: [Self; 5] = [Self::Scalar, Self::Avx2, Self::AvxVnni, Self::Avx512, Self::Avx512Bf16];

    /// The best that this CPU has and `AMANUENSIS_CPU` allows, found once.
    pub fn best() -> Self {
        static BEST: OnceLock<Level> = OnceLock::new();
        *BEST.get_or_init(|| {
            let named = std::env::var("AMANUENSIS_CPU").ok();
            let cap = Self::ALL.into_iter().find(|level| named.as_deref() == Some(level.name()));
            let usable = |level: &Self| level.detected() && cap.is_none_or(|cap| *level <= cap);
            Self::ALL.into_iter().rfind(usable).unwrap_or(Self::Scalar)
        })
    }

    /// All that this CPU has and `AMANUENSIS_CPU` allows, the least first: for tests that compare them.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|level| level.detected() && *level <= Self::best())
    }

    /// The level's name, as `AMANUENSIS_CPU` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::AvxVnni => "avxvnni",
            Self::Avx512 => "avx512",
            Self::Avx512Bf16 => "avx512bf16",
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn detected(self) -> bool {
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let avx512 = avx2
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vnni");
        match self {
            Self::Scalar => true,
            Self::Avx2 => avx2,
            Self::AvxVnni => avx2 && is_x86_feature_detected!("avxvnni"),
            Self::Avx512 => avx512,
            Self::Avx512Bf16 => avx512 && is_x86_feature_detected!("avx512bf16"),
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn detected(self) -> bool {
        self == Self::Scalar
    }
}

/// Compiles a function body once for each type of [`Vector`](crate::vector::Vector), `V` in the body, and calls the best.
macro_rules! per_level {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident($($argument:ident: $kind:ty),* $(,)?) $(-> $result:ty)? $body:block) => {
        $(#[$meta])*
        $visibility fn $name($($argument: $kind),*) $(-> $result)? {
            /// # Safety
            /// The CPU has the vector's instructions.
            #[inline(always)]
            unsafe fn body<V: $crate::vector::Vector>($($argument: $kind),*) $(-> $result)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($argument: $kind),*) $(-> $result)? {
                    // SAFETY: enabled here.
                    unsafe { body::<$crate::vector::Avx2>($($argument),*) }
                }
                #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")]
                fn avx512($($argument: $kind),*) $(-> $result)? {
                    // SAFETY: enabled here.
                    unsafe { body::<$crate::vector::Avx512>($($argument),*) }
                }
                match $crate::Level::best() {
                    // SAFETY: the level proves that the CPU has these instructions.
                    $crate::Level::Avx512 | $crate::Level::Avx512Bf16 => return unsafe { avx512($($argument),*) },
                    // SAFETY: as above.
                    $crate::Level::Avx2 | $crate::Level::AvxVnni => return unsafe { avx2($($argument),*) },
                    $crate::Level::Scalar => {}
                }
            }
            // SAFETY: it needs no instructions.
            unsafe { body::<$crate::vector::Plain>($($argument),*) }
        }
    };
}
pub(crate) use per_level;
