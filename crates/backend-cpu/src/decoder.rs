//! The decoder: tokens in, logits out, with keys and values of what went before kept.

use std::sync::Arc;

use amanuensis_kernels::{Activations, Cached, Epilogue, KeyValues, WeightMatrix, Workspace, attend_cached};
use amanuensis_whisper::{BackendError, Decoder, DeviceInfo, Dims, LogitsFor, TokenId};

use crate::graph::{After, CpuModel};

/// Decodes with memory of its own.
#[derive(Debug)]
pub(crate) struct CpuDecoder<W> {
    model: Arc<CpuModel<W>>,
    max_rows: usize,
    rows: usize,
    /// Tokens that every row has in the cache.
    length: usize,
    /// Keys and values of the window, for each layer.
    cross: Vec<KeyValues>,
    cache: Cache,
    /// `[tokens, d]`: the residual stream.
    x: Vec<f32>,
    /// `[tokens, d]`: what an attention made.
    attended: Vec<f32>,
    /// Queries, keys and values of the tokens, or keys and values of the window: `[tokens, 3 * d]`, `[positions, 2 * d]`.
    wide: Vec<f32>,
    /// `[positions of logits, d]`
    chosen: Vec<f32>,
    workspace: Workspace,
}

/// Keys and values of the tokens so far, for each layer and row `[n_text_ctx, 2 * d]`. The system gives memory only to what is
/// written.
#[derive(Debug)]
struct Cache {
    layers: Vec<Vec<f32>>,
    /// Values of one row.
    row_len: usize,
    /// Where each row lies, and after those in use, which places are free.
    places: Vec<usize>,
    /// Scratch of [`reorder`](Self::reorder).
    next: Vec<usize>,
}

impl Cache {
    fn new(layers: usize, rows: usize, row_len: usize) -> Self {
        Self {
            layers: (0..layers).map(|_| vec![0.0; rows * row_len]).collect(),
            row_len,
            places: (0..rows).collect(),
            next: Vec::with_capacity(rows),
        }
    }

    fn row(&self, layer: usize, row: usize) -> &[f32] {
        &self.layers[layer][self.places[row] * self.row_len..][..self.row_len]
    }

    fn row_mut(&mut self, layer: usize, row: usize) -> &mut [f32] {
        &mut self.layers[layer][self.places[row] * self.row_len..][..self.row_len]
    }

    /// Row `i` goes on from what was row `sources[i]`, of which `used` values count.
    fn reorder(&mut self, sources: &[usize], used: usize) {
        self.next.clear();
        for (row, source) in sources.iter().enumerate() {
            let from = self.places[*source];
            // The first row that goes on from a source takes its place, the others copy it to places that nobody goes on from.
            if !self.next.contains(&from) {
                self.next.push(from);
                continue;
            }
            let free = |place: &usize| {
                !self.next.contains(place) && !sources[row..].iter().any(|source| self.places[*source] == *place)
            };
            let to = (0..self.places.len()).find(free).expect("BUG: no more rows than places, and two share this one");
            for layer in &mut self.layers {
                layer.copy_within(from * self.row_len..from * self.row_len + used, to * self.row_len);
            }
            self.next.push(to);
        }
        for place in 0..self.places.len() {
            if !self.next.contains(&place) {
                self.next.push(place);
            }
        }
        std::mem::swap(&mut self.places, &mut self.next);
    }
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
        let dims = model.dims;
        let (max_rows, width, heads) = (max_rows.max(1), dims.n_text_state, dims.n_text_head);
        // A prompt as long as the context, or one token for each row.
        let tokens = dims.n_text_ctx.max(max_rows);
        Self {
            cross: (0..dims.n_text_layer).map(|_| KeyValues::new(model.keys_values, heads, width / heads)).collect(),
            cache: Cache::new(dims.n_text_layer, max_rows, dims.n_text_ctx * 2 * width),
            model,
            max_rows,
            rows: 1,
            length: 0,
            x: vec![0.0; tokens * width],
            attended: vec![0.0; tokens * width],
            wide: vec![0.0; (3 * tokens).max(2 * dims.n_audio_ctx) * width],
            chosen: Vec::with_capacity(2 * max_rows * width),
            workspace: Workspace::new(),
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
        if count > self.x.len() / width {
            return Err(BackendError::TooManyTokens { tokens: count, limit: self.x.len() / width });
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
        let heads = dims.n_text_head;
        let (x, attended) = (&mut self.x[..count * width], &mut self.attended[..count * width]);
        let workspace = &mut self.workspace;
        for (index, layer) in model.decoder.iter().enumerate() {
            let qkv = &mut self.wide[..count * 3 * width];
            let normed = Activations::new(x, width).normed(layer.attention_norm.get());
            layer.qkv.apply(pool, normed, After::NOTHING, qkv, workspace);
            for row in 0..self.rows {
                let cached = self.cache.row_mut(index, row)[self.length * 2 * width..].chunks_exact_mut(2 * width);
                for (cached, qkv) in cached.zip(qkv[row * per_row * 3 * width..].chunks_exact(3 * width)).take(per_row)
                {
                    cached.copy_from_slice(&qkv[width..]);
                }
            }
            let queries = Activations { data: qkv, rows: count, stride: 3 * width, norm: None };
            let (cache, length) = (&self.cache, self.length);
            let seen = |query: usize| Cached {
                keys_values: cache.row(index, query / per_row),
                visible: length + query % per_row + 1,
            };
            attend_cached(pool, heads, queries, seen, attended, workspace);
            layer.attention_out.apply(pool, Activations::new(attended, width), After::ADD, x, workspace);

            let queries = &mut self.wide[..count * width];
            let normed = Activations::new(x, width).normed(layer.cross_norm.get());
            layer.cross_query.apply(pool, normed, After::NOTHING, queries, workspace);
            if let Some(capture) = &mut capture {
                capture.take(index, queries, &self.cross[index]);
            }
            self.cross[index].attend(pool, Activations::new(queries, width), attended, workspace);
            layer.cross_out.apply(pool, Activations::new(attended, width), After::ADD, x, workspace);
            layer.mlp.apply(pool, x, workspace);
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
        let rows = Activations::new(&self.chosen, width).normed(model.decoder_norm.get());
        let epilogue = Epilogue::default();
        model.tokens.multiply(&model.pool, rows, epilogue, logits, model.dims.n_vocab, &mut self.workspace);
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

impl Capture<'_> {
    /// *Shape*: `queries` `[tokens, d]`.
    fn take(&mut self, layer: usize, queries: &[f32], keys: &KeyValues) {
        let (tokens, positions) = (self.tokens, keys.positions());
        for (index, (_, head)) in self.heads.iter().enumerate().filter(|(_, (of, _))| *of == layer) {
            let scores = self.scores[index * tokens * positions..].chunks_exact_mut(positions);
            for (scores, query) in scores.zip(queries.chunks_exact(queries.len() / tokens)) {
                keys.scores(query, *head, scores);
            }
        }
    }
}

impl<W: WeightMatrix> Decoder for CpuDecoder<W> {
    fn dims(&self) -> &Dims {
        &self.model.dims
    }

    fn device(&self) -> DeviceInfo {
        (*self.model.device).clone()
    }

    fn max_rows(&self) -> usize {
        self.max_rows
    }

    fn positions(&self) -> usize {
        self.cross.first().map_or(0, KeyValues::positions)
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
        let keys_values = &mut self.wide[..positions * 2 * width];
        for (layer, cross) in model.decoder.iter().zip(&mut self.cross) {
            let encoded = Activations::new(encoded, width);
            layer.cross_kv.apply(&model.pool, encoded, After::NOTHING, keys_values, &mut self.workspace);
            cross.fill(&model.pool, keys_values, &keys_values[width..], 2 * width, positions);
        }
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
        self.cache.reorder(sources, self.length * 2 * self.model.dims.n_text_state);
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
        let expected = heads.len() * tokens.len() * self.positions();
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
