//! The whole-array design: which tile computes what, and whether it fits.
//!
//! ```text
//!        memory tile (512 KB)   4 compute tiles (64 KB each), rows 0..4
//! column 0:  B panel 0, A rows 0 ->  C[0, 0]  C[1, 0]  C[2, 0]  C[3, 0]
//!    ...                               each row of tiles shares a tile of A (broadcast over 8 columns),
//! column 7:  B panel 7           ->    each column a tile of B (broadcast over 4 rows)
//! ```
//! One pass of the array makes `4 m x 8 n` results, over all of `k`; the accumulators stay in the compute tiles meanwhile. A residual
//! arrives in the buffer in which the result leaves, so that it costs no memory of its own.

use crate::number::{BLOCK, BLOCK_BYTES, Format};

/// Columns of the array.
pub const COLUMNS: usize = 8;
/// Rows of compute tiles.
pub const ROWS: usize = 4;
/// Memory of a compute tile.
pub const L1_BYTES: usize = 64 << 10;
/// Memory of a memory tile, one in each column.
pub const L2_BYTES: usize = 512 << 10;
/// What a compute tile keeps for the stack and constants.
const STACK_BYTES: usize = 4 << 10;
/// Both ends of a transfer work at the same time on a buffer each.
const DOUBLE: usize = 2;

/// Tile of a product that one core computes: `m x k` of the left operand by `k x n` of the right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tile {
    /// Rows.
    pub m: usize,
    /// Inner dimension; also the slice of a row that shares a scale in int8.
    pub k: usize,
    /// Columns.
    pub n: usize,
}

/// For models whose width is a multiple of 512, or not a multiple of 384.
const WIDE: Tile = Tile { m: 96, k: 32, n: 64 };
/// For models whose width is a multiple of 384: tiny and small.
const NARROW: Tile = Tile { m: 96, k: 32, n: 48 };

/// Queries that one core attends with at a time, and keys that it takes at a time.
pub const ATTENTION_TILE: (usize, usize) = (64, 32);
/// The widest head.
pub const HEAD: usize = 64;

/// Bytes of a compute tile's memory that a product needs.
///
/// A (bf16) and B twice, the accumulators (f32) and the result (bf16, in which the residual came) once, bias and scales (f32).
pub const fn gemm_l1_bytes(tile: Tile, format: Format) -> usize {
    let a = tile.m * tile.k * 2;
    let b = match format {
        Format::Bfp16 => tile.k * tile.n / BLOCK * BLOCK_BYTES,
        Format::Int8 => tile.k * tile.n,
    };
    let accumulators = tile.m * tile.n * 4;
    let result = tile.m * tile.n * 2;
    DOUBLE * (a + b) + accumulators + result + 2 * tile.n * 4 + STACK_BYTES
}

/// Bytes of a memory tile that a product needs: A for half a row of the array, B for a column, results of a column, each twice.
pub const fn gemm_l2_bytes(tile: Tile, format: Format) -> usize {
    // Two columns share the four rows' tiles of A between them; four slices of k are sent at a time.
    let slices = 4;
    let a = slices * tile.m * tile.k * 2;
    let b = match format {
        Format::Bfp16 => slices * tile.k * tile.n / BLOCK * BLOCK_BYTES,
        Format::Int8 => slices * tile.k * tile.n,
    };
    let results = ROWS * tile.m * tile.n * 2;
    DOUBLE * (a + b + results)
}

/// Bytes of a compute tile's memory that attention needs: queries once, keys and values (bf16) twice, weighted values (f32),
/// maxima and sums (f32). The result lies where the queries were; scores of eight queries at a time are on the stack.
pub const fn attention_l1_bytes() -> usize {
    let (queries, keys) = ATTENTION_TILE;
    let keys_and_values = 2 * keys * HEAD * 2;
    queries * HEAD * 2 + DOUBLE * keys_and_values + queries * HEAD * 4 + 2 * queries * 4 + STACK_BYTES
}

// 96 x 32 x 64 in bfp16: 2 * (6144 + 2304) + 24576 + 12288 + 512 + 4096 = 58368.
const _: () = assert!(gemm_l1_bytes(WIDE, Format::Bfp16) == 58_368 && 58_368 <= L1_BYTES);
const _: () = assert!(gemm_l1_bytes(WIDE, Format::Int8) == 57_856 && 57_856 <= L1_BYTES);
// 96 x 32 x 48 in bfp16: 2 * (6144 + 1728) + 18432 + 9216 + 384 + 4096 = 47872.
const _: () = assert!(gemm_l1_bytes(NARROW, Format::Bfp16) == 47_872 && 47_872 <= L1_BYTES);
const _: () = assert!(gemm_l1_bytes(NARROW, Format::Int8) == 47_488 && 47_488 <= L1_BYTES);
// 2 * (24576 + 9216 + 49152) = 165888.
const _: () = assert!(gemm_l2_bytes(WIDE, Format::Bfp16) == 165_888 && 165_888 <= L2_BYTES);
// 8192 + 2 * 8192 + 16384 + 512 + 4096 = 45568. Of the stack, scores take 4 * 256 and the sums of a row of blocks 8 * 256.
const _: () = assert!(attention_l1_bytes() == 45_568 && 45_568 <= L1_BYTES);
const _: () = assert!(whole_blocks(WIDE) && whole_blocks(NARROW));

const fn whole_blocks(tile: Tile) -> bool {
    tile.m.is_multiple_of(BLOCK) && tile.k.is_multiple_of(BLOCK) && tile.n.is_multiple_of(BLOCK)
}

/// The tile for a model of this width.
pub const fn tile_for(width: usize) -> Tile {
    if width.is_multiple_of(COLUMNS * NARROW.n) { NARROW } else { WIDE }
}
