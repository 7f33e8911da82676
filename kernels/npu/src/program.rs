//! What is dispatched to encode a window, and where everything lies.
//!
//! Every dispatch has the same four buffers: the weights of its part, the workspace, the spectrogram and the result. A layer
//! is seven dispatches; their instructions are the same for every layer, only the weights' buffer differs. Instructions exist for
//! some numbers of rows ([`Program::row_counts`]); the true counts are written into them before they run.

use crate::design::{self, ROWS, Tile};
use crate::number::Format;
use crate::weights::Layout;

/// Dispatches of a layer: norm, queries keys and values, attention, its output, norm, up, down.
pub const DISPATCHES_PER_LAYER: usize = LAYER_STEPS.len();
const LAYER_STEPS: [&str; 7] =
    ["attention_norm", "qkv", "attention", "attention_out", "mlp_norm", "mlp_up", "mlp_down"];
const _: () = assert!(DISPATCHES_PER_LAYER <= 7);

/// Buffers begin at multiples of this: a page, so that parts of the weights can be buffers of their own.
pub const ALIGN_BYTES: usize = 4096;
/// Values within a part begin at multiples of this: a cache line.
const LINE_BYTES: usize = 64;

/// The dimensions of an encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Shape {
    /// Mel bins.
    pub mels: usize,
    /// Positions of a full window.
    pub positions: usize,
    /// Width.
    pub width: usize,
    /// Heads.
    pub heads: usize,
    /// Layers.
    pub layers: usize,
}

/// One of the four buffers of a dispatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Buffer {
    /// Weights of the part.
    Weights,
    /// Intermediate results.
    Workspace,
    /// The caller's spectrogram.
    Spectrogram,
    /// The caller's result.
    Result,
}

/// A place in a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The buffer.
    pub buffer: Buffer,
    /// Bytes from its start.
    pub offset: usize,
}

/// A part of the weights, which is a buffer of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Convolutions and positions.
    Head,
    /// One layer.
    Layer(usize),
    /// The last normalisation.
    Tail,
}

/// Rows of the left operand of a product: row `r` is `k` values from `(r * step - lead) * width` on, of `rows` rows of
/// `width` values. What lies outside them is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// Where row 0 begins.
    pub place: Place,
    /// Whether the values are 32-bit floats; else bfloat16.
    pub wide: bool,
    /// Rows that there are.
    pub rows: usize,
    /// Values of each.
    pub width: usize,
    /// Rows from one window to the next.
    pub step: usize,
    /// Rows of padding before the first.
    pub lead: usize,
}

/// `out = [gelu](source x weights^T + bias) [+ residual]`, in bfloat16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gemm {
    /// Rows of the result.
    pub rows: usize,
    /// The left operand.
    pub source: Source,
    /// The packed weights.
    pub layout: Layout,
    /// Where the weights begin.
    pub weights: usize,
    /// Where the bias (f32, padded like the weights) begins.
    pub bias: usize,
    /// Whether the Gaussian error linear unit follows.
    pub gelu: bool,
    /// What is added after it: bfloat16 `[rows, n]`.
    pub residual: Option<Place>,
    /// Where the result goes: `[rows, n]`.
    pub out: Place,
}

/// Layer normalisation of bfloat16 rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Norm {
    /// Rows.
    pub rows: usize,
    /// Values of each.
    pub width: usize,
    /// The rows.
    pub source: Place,
    /// Where the scale (f32) begins; the shift follows.
    pub weights: usize,
    /// Where the result goes.
    pub out: Place,
    /// Whether the result is 32-bit floats; else bfloat16.
    pub wide: bool,
}

/// Attention of every position on every other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attention {
    /// Positions.
    pub rows: usize,
    /// Heads.
    pub heads: usize,
    /// Values of each.
    pub head: usize,
    /// Queries, keys and values: bfloat16 `[rows, 3 * heads * head]`.
    pub qkv: Place,
    /// Where the result goes: `[rows, heads * head]`.
    pub out: Place,
}

/// One dispatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dispatch {
    /// A product.
    Gemm(Gemm),
    /// A layer normalisation.
    Norm(Norm),
    /// An attention.
    Attention(Attention),
}

/// A dispatch with its name and its weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Name of the instructions.
    pub name: &'static str,
    /// The weights' part.
    pub part: Part,
    /// What is computed.
    pub dispatch: Dispatch,
}

/// Why a model cannot run on the array.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Heads of a width that the kernels do not have.
    #[error("its attention heads are {0} wide; the NPU's kernels take multiples of 8 up to 64")]
    Head(usize),
    /// More data than a buffer's offsets can address.
    #[error("its encoder is too large for the NPU's buffers")]
    Large,
}

/// Where the weights of a part lie within it, in bytes.
#[derive(Debug, Clone, Copy)]
pub enum Piece {
    /// A linear layer and its bias.
    Linear {
        /// OpenAI's names of the layers that it is made of, without the block and `.weight`.
        names: &'static [&'static str],
        /// How it is packed.
        layout: Layout,
        /// Where the weights begin.
        weights: usize,
        /// Where the bias begins.
        bias: usize,
    },
    /// Scale and shift of a normalisation.
    Norm {
        /// Its name.
        name: &'static str,
        /// Where it begins.
        at: usize,
    },
    /// The positional embedding, bfloat16.
    Positions {
        /// Where it begins.
        at: usize,
    },
}

/// The layer program of one model.
#[derive(Debug, Clone)]
pub struct Program {
    shape: Shape,
    format: Format,
    tile: Tile,
    head: Vec<Piece>,
    layer: Vec<Piece>,
    tail: Vec<Piece>,
    head_bytes: usize,
    layer_bytes: usize,
    tail_bytes: usize,
}

/// Places one piece after the other.
struct Placer {
    format: Format,
    tile: Tile,
    at: usize,
    pieces: Vec<Piece>,
}

impl Placer {
    fn take(&mut self, bytes: usize) -> usize {
        let at = self.at;
        self.at = (at + bytes).next_multiple_of(LINE_BYTES);
        at
    }

    fn linear(&mut self, names: &'static [&'static str], n: usize, k: usize) {
        let layout = Layout { format: self.format, tile: self.tile, n, k };
        let weights = self.take(layout.bytes());
        let bias = self.take(layout.padded_n() * 4);
        self.pieces.push(Piece::Linear { names, layout, weights, bias });
    }

    fn norm(&mut self, name: &'static str, width: usize) {
        let at = self.take(2 * width * 4);
        self.pieces.push(Piece::Norm { name, at });
    }

    fn finish(self) -> (Vec<Piece>, usize) {
        (self.pieces, self.at.next_multiple_of(ALIGN_BYTES))
    }
}

impl Program {
    /// The program of an encoder with this shape.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn new(shape: Shape, format: Format) -> Result<Self, Unfit> {
        let Shape { mels, positions, width, heads, layers } = shape;
        let head = width / heads.max(1);
        if head == 0 || head > design::HEAD || !head.is_multiple_of(8) || head * heads != width {
            return Err(Unfit::Head(head));
        }
        let tile = design::tile_for(width);
        let placer = || Placer { format, tile, at: 0, pieces: Vec::new() };
        let mut first = placer();
        first.linear(&["conv1"], width, 3 * mels);
        first.linear(&["conv2"], width, 3 * width);
        let at = first.take(positions * width * 2);
        first.pieces.push(Piece::Positions { at });
        let mut layer = placer();
        layer.norm("attn_ln", width);
        layer.linear(&["attn.query", "attn.key", "attn.value"], 3 * width, width);
        layer.linear(&["attn.out"], width, width);
        layer.norm("mlp_ln", width);
        layer.linear(&["mlp.0"], 4 * width, width);
        layer.linear(&["mlp.2"], width, 4 * width);
        let mut last = placer();
        last.norm("ln_post", width);
        let (head, head_bytes) = first.finish();
        let (layer, layer_bytes) = layer.finish();
        let (tail, tail_bytes) = last.finish();
        let program = Self { shape, format, tile, head, layer, tail, head_bytes, layer_bytes, tail_bytes };
        let largest = program.workspace_bytes().max(head_bytes).max(layer_bytes);
        let fits = layers <= 64 && u32::try_from(largest).is_ok();
        fits.then_some(program).ok_or(Unfit::Large)
    }

    /// The model's dimensions.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The number format of the products.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The design's tile.
    pub fn tile(&self) -> Tile {
        self.tile
    }

    /// What a part consists of.
    pub fn pieces(&self, part: Part) -> &[Piece] {
        match part {
            Part::Head => &self.head,
            Part::Layer(_) => &self.layer,
            Part::Tail => &self.tail,
        }
    }

    /// All parts in order.
    pub fn parts(&self) -> impl Iterator<Item = Part> {
        std::iter::once(Part::Head).chain((0..self.shape.layers).map(Part::Layer)).chain([Part::Tail])
    }

    /// Where a part lies among all weights: start and bytes.
    pub fn part(&self, part: Part) -> (usize, usize) {
        match part {
            Part::Head => (0, self.head_bytes),
            Part::Layer(index) => (self.head_bytes + index * self.layer_bytes, self.layer_bytes),
            Part::Tail => (self.head_bytes + self.shape.layers * self.layer_bytes, self.tail_bytes),
        }
    }

    /// Bytes of all weights.
    pub fn weight_bytes(&self) -> usize {
        let (start, bytes) = self.part(Part::Tail);
        start + bytes
    }

    /// Positions for which there are instructions: whole passes of the array, in quarters of a full window.
    pub fn row_counts(&self) -> Vec<usize> {
        let pass = ROWS * self.tile.m;
        let full = self.shape.positions.next_multiple_of(pass);
        let mut counts: Vec<_> = (1..=4).map(|part| (full * part / 4).next_multiple_of(pass)).collect();
        counts.dedup();
        counts
    }

    /// The fewest rows for which there are instructions that hold a window of so many positions.
    pub fn rows_for(&self, positions: usize) -> Option<usize> {
        self.row_counts().into_iter().find(|rows| *rows >= positions)
    }

    fn rows(&self) -> usize {
        self.shape.positions.next_multiple_of(ROWS * self.tile.m)
    }

    /// Bytes of the workspace: residual stream, normalised or attended rows, and the widest intermediate.
    pub fn workspace_bytes(&self) -> usize {
        (self.wide_at() + 4 * self.rows() * self.shape.width * 2).next_multiple_of(ALIGN_BYTES)
    }

    fn normed_at(&self) -> usize {
        self.rows() * self.shape.width * 2
    }

    fn wide_at(&self) -> usize {
        2 * self.normed_at()
    }

    fn linear(&self, part: Part, index: usize) -> (Layout, usize, usize) {
        let linears = self.pieces(part).iter().filter_map(|piece| match piece {
            Piece::Linear { layout, weights, bias, .. } => Some((*layout, *weights, *bias)),
            _ => None,
        });
        linears.into_iter().nth(index).expect("BUG: the steps below name linear layers that the parts have")
    }

    fn norm(&self, part: Part, index: usize) -> usize {
        let norms = self.pieces(part).iter().filter_map(|piece| match piece {
            Piece::Norm { at, .. } => Some(*at),
            _ => None,
        });
        norms.into_iter().nth(index).expect("BUG: the steps below name normalisations that the parts have")
    }

    /// Everything that is dispatched for a window of `frames` frames.
    pub fn steps(&self, frames: usize) -> Vec<Step> {
        let Shape { mels, width, heads, layers, .. } = self.shape;
        let rows = frames.div_ceil(2);
        let workspace = |offset| Place { buffer: Buffer::Workspace, offset };
        let (x, normed, wide) = (workspace(0), workspace(self.normed_at()), workspace(self.wide_at()));
        let plain = |place, width| Source { place, wide: false, rows, width, step: 1, lead: 0 };
        let gemm = |part, index, source, out, gelu, residual| {
            let (layout, weights, bias) = self.linear(part, index);
            Dispatch::Gemm(Gemm { rows, source, layout, weights, bias, gelu, residual, out })
        };
        let norm = |part, index, out, wide| {
            Dispatch::Norm(Norm { rows, width, source: x, weights: self.norm(part, index), out, wide })
        };
        let spectrogram = Place { buffer: Buffer::Spectrogram, offset: 0 };
        let mel = Source { place: spectrogram, wide: true, rows: frames, width: mels, step: 1, lead: 1 };
        let convolved = Source { place: wide, wide: false, rows: frames, width, step: 2, lead: 1 };
        let positions = self.head.iter().find_map(|piece| match piece {
            Piece::Positions { at } => Some(Place { buffer: Buffer::Weights, offset: *at }),
            _ => None,
        });
        let mut conv1 = gemm(Part::Head, 0, mel, wide, true, None);
        if let Dispatch::Gemm(conv1) = &mut conv1 {
            conv1.rows = frames;
        }
        let conv2 = gemm(Part::Head, 1, convolved, x, true, positions);
        let mut steps = vec![
            Step { name: "conv1", part: Part::Head, dispatch: conv1 },
            Step { name: "conv2", part: Part::Head, dispatch: conv2 },
        ];
        for index in 0..layers {
            let part = Part::Layer(index);
            let attention = Attention { rows, heads, head: width / heads, qkv: wide, out: normed };
            let dispatches = [
                norm(part, 0, normed, false),
                gemm(part, 0, plain(normed, width), wide, false, None),
                Dispatch::Attention(attention),
                gemm(part, 1, plain(normed, width), x, false, Some(x)),
                norm(part, 1, normed, false),
                gemm(part, 2, plain(normed, width), wide, true, None),
                gemm(part, 3, plain(wide, 4 * width), x, false, Some(x)),
            ];
            steps.extend(LAYER_STEPS.into_iter().zip(dispatches).map(|(name, dispatch)| Step { name, part, dispatch }));
        }
        let result = Place { buffer: Buffer::Result, offset: 0 };
        steps.push(Step { name: "norm", part: Part::Tail, dispatch: norm(Part::Tail, 0, result, true) });
        steps
    }

    /// Steps that have instructions of their own: the two convolutions, one layer, the last normalisation.
    pub fn distinct_steps(&self, frames: usize) -> Vec<Step> {
        let steps = self.steps(frames);
        steps.into_iter().filter(|step| !matches!(step.part, Part::Layer(index) if index > 0)).collect()
    }
}
