//! The decoder: tokens in, logits out, with keys and values of what went before kept.

use std::sync::{Arc, Mutex, PoisonError};

use amanuensis_kernels::{Activations, WeightMatrix, attend_cached};
use amanuensis_whisper::{BackendError, Decoder, DeviceInfo, Dims, LogitsFor, TokenId};

use crate::graph::{After, CpuModel};

/// Cached values above which a second thread is worth waking for an attention.
const WORTH_A_THREAD_VALUES: usize = 1 << 18;

/// Decodes with memory of its own, which grows to what is needed and stays.
#[derive(Debug)]
pub(crate) struct CpuDecoder<W> {
    model: Arc<CpuModel<W>>,
    max_rows: usize,
    positions: usize,
    rows: usize,
    /// Tokens that every row has in the cache.
    length: usize,
    /// For each layer `[positions, 2 * d]`: keys and values of the window.
    cross: Vec<Vec<f32>>,
    /// For each layer and row `[n_text_ctx, 2 * d]`, as long as it has been used.
    cache: Vec<Vec<Vec<f32>>>,
    x: Vec<f32>,
    normed: Vec<f32>,
    wide: Vec<f32>,
    chosen: Vec<f32>,
    /// For each head the softmax over what it attends to.
    scores: Vec<Mutex<Vec<f32>>>,
    scratch: Vec<u8>,
}

/// Takes down what some heads attend to.
struct Capture<'a> {
    heads: &'a [(usize, usize)],
    /// `[heads, tokens, positions]`
    scores: &'a mut [f32],
    tokens: usize,
}

impl<W: WeightMatrix> CpuDecoder<W> {
    pub(crate) fn new(model: Arc<CpuModel<W>>, max_rows: usize) -> Self {
        let layers = model.dims.n_text_layer;
        let max_rows = max_rows.max(1);
        Self {
            cross: vec![Vec::new(); layers],
            cache: vec![vec![Vec::new(); max_rows]; layers],
            scores: (0..model.dims.n_text_head).map(|_| Mutex::new(Vec::new())).collect(),
            model,
            max_rows,
            positions: 0,
            rows: 1,
            length: 0,
            x: Vec::new(),
            normed: Vec::new(),
            wide: Vec::new(),
            chosen: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Runs tokens through all layers: the residual stream is in `x` afterwards.
    fn run(
        &mut self,
        tokens: &[TokenId],
        per_row: usize,
        mut capture: Option<Capture<'_>>,
    ) -> Result<(), BackendError> {
        let model = Arc::clone(&self.model);
        let (dims, pool) = (&model.dims, &*model.pool);
        let (width, count) = (dims.n_text_state, tokens.len());
        if self.length + per_row > dims.n_text_ctx {
            return Err(BackendError::TooManyTokens { tokens: self.length + per_row, limit: dims.n_text_ctx });
        }
        for (buffer, length) in
            [(&mut self.x, count * width), (&mut self.normed, count * width), (&mut self.wide, count * 4 * width)]
        {
            if buffer.len() < length {
                buffer.resize(length, 0.0);
            }
        }
        for (index, (token, x)) in tokens.iter().zip(self.x.chunks_exact_mut(width)).enumerate() {
            if *token as usize >= dims.n_vocab {
                return Err(BackendError::Shape { what: "token", found: *token as usize, expected: dims.n_vocab });
            }
            model.tokens.row(*token as usize, x);
            let position = self.length + index % per_row;
            for (x, place) in x.iter_mut().zip(&model.text_positions[position * width..]) {
                *x += place;
            }
        }
        for (index, layer) in model.decoder.iter().enumerate() {
            let x = &mut self.x[..count * width];
            let normed = &mut self.normed[..count * width];

            let qkv = &mut self.wide[..count * 3 * width];
            layer.attention_norm.apply(pool, x, normed);
            layer.qkv.apply(pool, Activations::new(normed, width), After::NOTHING, qkv, &mut self.scratch);
            for (row, cache) in self.cache[index].iter_mut().enumerate().take(self.rows) {
                cache.truncate(self.length * 2 * width);
                for token in 0..per_row {
                    cache.extend_from_slice(&qkv[(row * per_row + token) * 3 * width + width..][..2 * width]);
                }
            }
            for query in 0..count {
                let (row, visible) = (query / per_row, self.length + query % per_row + 1);
                let out = &mut normed[query * width..(query + 1) * width];
                let query = &qkv[query * 3 * width..][..width];
                attend(&model, &self.scores, query, &self.cache[index][row], visible, out);
            }
            layer.attention_out.apply(pool, Activations::new(normed, width), After::ADD, x, &mut self.scratch);

            let queries = &mut self.wide[..count * width];
            layer.cross_norm.apply(pool, x, normed);
            layer.cross_query.apply(pool, Activations::new(normed, width), After::NOTHING, queries, &mut self.scratch);
            for (token, query) in queries.chunks_exact(width).enumerate() {
                let out = &mut normed[token * width..(token + 1) * width];
                attend(&model, &self.scores, query, &self.cross[index], self.positions, out);
                if let Some(capture) = &mut capture {
                    capture.take(index, token, self.positions, &self.scores);
                }
            }
            layer.cross_out.apply(pool, Activations::new(normed, width), After::ADD, x, &mut self.scratch);
            layer.mlp.apply(pool, x, normed, &mut self.wide[..count * 4 * width], &mut self.scratch);
        }
        self.length += per_row;
        Ok(())
    }

    /// Logits of the tokens at `indices` of the last run.
    fn logits(&mut self, indices: impl Iterator<Item = usize>, logits: &mut [f32]) {
        let model = Arc::clone(&self.model);
        let width = model.dims.n_text_state;
        self.chosen.clear();
        for index in indices {
            self.chosen.extend_from_slice(&self.x[index * width..(index + 1) * width]);
        }
        // The same token may be chosen twice, so that there can be more of them than there were tokens.
        if self.normed.len() < self.chosen.len() {
            self.normed.resize(self.chosen.len(), 0.0);
        }
        let normed = &mut self.normed[..self.chosen.len()];
        model.decoder_norm.apply(&model.pool, &self.chosen, normed);
        let rows = Activations::new(normed, width);
        model.tokens.multiply(
            &model.pool,
            rows,
            amanuensis_kernels::Epilogue::default(),
            logits,
            model.dims.n_vocab,
            &mut self.scratch,
        );
    }

    fn check_logits(&self, positions: usize, logits: &[f32]) -> Result<(), BackendError> {
        let expected = positions * self.model.dims.n_vocab;
        if logits.len() == expected {
            Ok(())
        } else {
            Err(BackendError::Shape { what: "buffer for logits", found: logits.len(), expected })
        }
    }
}

/// All heads of one query, on the first `visible` keys and values.
///
/// *Shape*: `query` and `out` `[d]`; `cached` `[visible.., 2 * d]`, keys then values.
fn attend<W>(
    model: &CpuModel<W>,
    scores: &[Mutex<Vec<f32>>],
    query: &[f32],
    cached: &[f32],
    visible: usize,
    out: &mut [f32],
) {
    let (heads, width) = (scores.len(), query.len());
    let head_dim = width / heads;
    let head = |head: usize, out: &mut [f32]| {
        let mut scores = scores[head].lock().unwrap_or_else(PoisonError::into_inner);
        scores.resize(visible, 0.0);
        let at = head * head_dim;
        attend_cached(&query[at..at + head_dim], &cached[at..], &cached[width + at..], 2 * width, &mut scores, out);
    };
    if visible * width < WORTH_A_THREAD_VALUES {
        for (index, out) in out.chunks_exact_mut(head_dim).enumerate() {
            head(index, out);
        }
        return;
    }
    // Each task takes the place of its own head.
    let places: Vec<_> = out.chunks_exact_mut(head_dim).map(Mutex::new).collect();
    model.pool.run(heads, |index| {
        let mut out = places[index].lock().unwrap_or_else(PoisonError::into_inner);
        head(index, &mut out);
    });
}

impl Capture<'_> {
    /// Notes the logarithm of the softmax, which differs from the score by a constant that a later softmax takes away.
    fn take(&mut self, layer: usize, token: usize, positions: usize, scores: &[Mutex<Vec<f32>>]) {
        for (index, (_, head)) in self.heads.iter().enumerate().filter(|(_, (of, _))| *of == layer) {
            let attended = scores[*head].lock().unwrap_or_else(PoisonError::into_inner);
            let place = &mut self.scores[(index * self.tokens + token) * positions..][..positions];
            for (out, value) in place.iter_mut().zip(attended.iter()) {
                *out = value.max(f32::MIN_POSITIVE).ln();
            }
        }
    }
}

impl<W: WeightMatrix> Decoder for CpuDecoder<W> {
    fn dims(&self) -> &Dims {
        &self.model.dims
    }

    fn device(&self) -> DeviceInfo {
        self.model.device.clone()
    }

    fn max_rows(&self) -> usize {
        self.max_rows
    }

    fn positions(&self) -> usize {
        self.positions
    }

    fn start(&mut self, encoded: &[f32]) -> Result<(), BackendError> {
        let model = Arc::clone(&self.model);
        let width = model.dims.n_audio_state;
        let positions = encoded.len() / width;
        if positions == 0 || positions > model.dims.n_audio_ctx || positions * width != encoded.len() {
            return Err(BackendError::Shape {
                what: "encoder's output",
                found: encoded.len(),
                expected: model.dims.n_audio_ctx * width,
            });
        }
        for (layer, cross) in model.decoder.iter().zip(&mut self.cross) {
            cross.resize(positions * 2 * width, 0.0);
            layer.cross_kv.apply(
                &model.pool,
                Activations::new(encoded, width),
                After::NOTHING,
                cross,
                &mut self.scratch,
            );
        }
        self.positions = positions;
        self.restart(1)
    }

    fn restart(&mut self, rows: usize) -> Result<(), BackendError> {
        if rows == 0 || rows > self.max_rows {
            return Err(BackendError::TooManyRows { rows, limit: self.max_rows });
        }
        self.rows = rows;
        self.length = 0;
        Ok(())
    }

    fn reorder(&mut self, sources: &[usize]) -> Result<(), BackendError> {
        if sources.is_empty() || sources.len() > self.max_rows {
            return Err(BackendError::TooManyRows { rows: sources.len(), limit: self.max_rows });
        }
        if let Some(found) = sources.iter().copied().find(|source| *source >= self.rows) {
            return Err(BackendError::Shape { what: "row to go on from", found, expected: self.rows });
        }
        for layer in &mut self.cache {
            // The first row that goes on from a source takes its memory, the others copy it.
            let mut before: Vec<Vec<f32>> = layer.iter_mut().map(std::mem::take).collect();
            let mut holder: Vec<Option<usize>> = vec![None; before.len()];
            for (row, source) in sources.iter().enumerate() {
                match holder[*source] {
                    None => {
                        layer[row] = std::mem::take(&mut before[*source]);
                        holder[*source] = Some(row);
                    }
                    Some(first) => {
                        let mut copy = std::mem::take(&mut layer[row]);
                        copy.clear();
                        copy.extend_from_slice(&layer[first]);
                        layer[row] = copy;
                    }
                }
            }
        }
        self.rows = sources.len();
        Ok(())
    }

    fn forward(&mut self, tokens: &[TokenId], want: LogitsFor, logits: &mut [f32]) -> Result<(), BackendError> {
        let rows = self.rows;
        let per_row = tokens.len() / rows;
        if per_row == 0 || per_row * rows != tokens.len() {
            return Err(BackendError::Shape { what: "list of tokens", found: tokens.len(), expected: rows });
        }
        let wanted = match want {
            LogitsFor::Nothing => 0,
            LogitsFor::Last => rows,
            LogitsFor::LastAnd(position) if position >= per_row => {
                return Err(BackendError::Shape { what: "position of logits", found: position, expected: per_row });
            }
            LogitsFor::LastAnd(_) => 2 * rows,
            LogitsFor::Every => tokens.len(),
        };
        self.check_logits(wanted, logits)?;
        self.run(tokens, per_row, None)?;
        let last = per_row - 1;
        match want {
            LogitsFor::Nothing => {}
            LogitsFor::Last => self.logits((0..rows).map(|row| row * per_row + last), logits),
            LogitsFor::LastAnd(position) => {
                self.logits((0..rows).flat_map(|row| [row * per_row + position, row * per_row + last]), logits);
            }
            LogitsFor::Every => self.logits(0..tokens.len(), logits),
        }
        Ok(())
    }

    fn align(
        &mut self,
        tokens: &[TokenId],
        heads: &[(usize, usize)],
        scores: &mut [f32],
        logits: &mut [f32],
    ) -> Result<(), BackendError> {
        let expected = heads.len() * tokens.len() * self.positions;
        if scores.len() != expected {
            return Err(BackendError::Shape { what: "buffer for attention", found: scores.len(), expected });
        }
        let dims = self.model.dims;
        if let Some((layer, head)) =
            heads.iter().find(|(layer, head)| *layer >= dims.n_text_layer || *head >= dims.n_text_head)
        {
            return Err(BackendError::Shape {
                what: "alignment head",
                found: *layer * dims.n_text_head + head,
                expected: dims.n_text_layer * dims.n_text_head,
            });
        }
        self.check_logits(tokens.len(), logits)?;
        self.restart(1)?;
        self.run(tokens, tokens.len(), Some(Capture { heads, scores, tokens: tokens.len() }))?;
        self.logits(0..tokens.len(), logits);
        self.restart(1)
    }
}
