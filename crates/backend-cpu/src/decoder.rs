//! The decoder: tokens in, logits out, with keys and values of what went before kept.

use std::sync::Arc;

use amanuensis_kernels::{
    Activations, Cached, Epilogue, KeyValueNumber, KeyValues, WeightMatrix, attend_cached, attend_each,
};
use amanuensis_whisper::{BackendError, Decoder, DeviceInfo, Dims, LogitsFor, TokenId};

use crate::cores::{Memory, grown};
use crate::graph::{After, CpuModel};

/// Decodes a window. What it holds of it is lent to whoever does a step for several decoders.
#[derive(Debug)]
pub(crate) struct CpuDecoder<W> {
    model: Arc<CpuModel<W>>,
    max_rows: usize,
    sequences: Option<Sequences>,
}

/// The sequences of a window, and what they are to be given next.
#[derive(Debug)]
pub(crate) struct Sequences {
    pub(crate) id: u64,
    rows: usize,
    /// Tokens that every row has in the cache.
    length: usize,
    /// Keys and values of the window, for each layer.
    cross: Vec<KeyValues>,
    cache: Cache,
    /// `[rows, tokens]`: the next ones.
    pub(crate) tokens: Vec<TokenId>,
    /// Which of them want logits, and these: `[wanted, n_vocab]`.
    wanted: Vec<usize>,
    logits: Vec<f32>,
    /// Whoever was to do the step failed.
    pub(crate) abandoned: bool,
}

/// Keys and values of the tokens so far, for each layer and row `[2, heads, n_text_ctx, width]`. The system gives memory only to
/// what is written.
#[derive(Debug)]
struct Cache {
    layers: Vec<Vec<f32>>,
    /// Columns of a head, and tokens that there is room for.
    width: usize,
    room: usize,
    /// Values of one row.
    row_len: usize,
    /// Where each row lies, and after those in use, which places are free.
    places: Vec<usize>,
    /// Scratch of [`reorder`](Self::reorder).
    next: Vec<usize>,
}

impl Cache {
    fn new(dims: &Dims, rows: usize) -> Self {
        let row_len = 2 * dims.n_text_ctx * dims.n_text_state;
        Self {
            layers: (0..dims.n_text_layer).map(|_| vec![0.0; rows * row_len]).collect(),
            width: dims.n_text_state / dims.n_text_head,
            room: dims.n_text_ctx,
            row_len,
            places: (0..rows).collect(),
            next: Vec::with_capacity(rows),
        }
    }

    /// What a query of the row sees.
    fn row(&self, layer: usize, row: usize, visible: usize) -> Cached<'_> {
        let (keys, values) =
            self.layers[layer][self.places[row] * self.row_len..][..self.row_len].split_at(self.row_len / 2);
        Cached { keys, values, room: self.room, visible }
    }

    /// Takes the keys and values of a token, each `[heads, width]`.
    fn put(&mut self, layer: usize, row: usize, position: usize, keys_values: &[f32]) {
        let row = &mut self.layers[layer][self.places[row] * self.row_len..][..self.row_len];
        for (head, values) in keys_values.chunks_exact(self.width).enumerate() {
            row[(head * self.room + position) * self.width..][..self.width].copy_from_slice(values);
        }
    }

    /// Row `i` goes on from what was row `sources[i]`, of which `used` tokens count.
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
                for head in (0..self.row_len).step_by(self.room * self.width) {
                    let start = from * self.row_len + head;
                    layer.copy_within(start..start + used * self.width, to * self.row_len + head);
                }
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
        let max_rows = max_rows.max(1);
        let sequences = Sequences::new(model.cores.new_id(), &model.dims, model.keys_values, max_rows);
        Self { model, max_rows, sequences: Some(sequences) }
    }

    fn sequences(&self) -> &Sequences {
        self.sequences.as_ref().expect(LENT)
    }

    fn sequences_mut(&mut self) -> &mut Sequences {
        self.sequences.as_mut().expect(LENT)
    }

    /// Takes down the next tokens, and which of them want logits.
    fn give(&mut self, tokens: &[TokenId], wanted: impl IntoIterator<Item = usize>) -> Result<(), BackendError> {
        let dims = self.model.dims;
        // A prompt as long as the context, or one token for each row.
        let limit = dims.n_text_ctx.max(self.max_rows);
        let sequences = self.sequences_mut();
        let length = sequences.length + tokens.len() / sequences.rows;
        if length > dims.n_text_ctx {
            return Err(BackendError::TooManyTokens { tokens: length, limit: dims.n_text_ctx });
        }
        if tokens.len() > limit {
            return Err(BackendError::TooManyTokens { tokens: tokens.len(), limit });
        }
        if let Some(found) = tokens.iter().map(|token| *token as usize).find(|token| *token >= dims.n_vocab) {
            return Err(BackendError::Shape { what: "token", found, expected: dims.n_vocab });
        }
        sequences.tokens.clear();
        sequences.tokens.extend_from_slice(tokens);
        sequences.wanted.clear();
        sequences.wanted.extend(wanted);
        Ok(())
    }
}

/// A step gives back what it was lent, or its caller panics and does not use the decoder again.
const LENT: &str = "BUG: the decoder is used after a panic";

impl Sequences {
    pub(crate) fn new(id: u64, dims: &Dims, number: KeyValueNumber, max_rows: usize) -> Self {
        let (layers, width, heads) = (dims.n_text_layer, dims.n_text_state, dims.n_text_head);
        Self {
            id,
            rows: 1,
            length: 0,
            cross: (0..layers).map(|_| KeyValues::new(number, heads, width / heads)).collect(),
            cache: Cache::new(dims, max_rows),
            tokens: Vec::with_capacity(dims.n_text_ctx.max(max_rows)),
            wanted: Vec::with_capacity(dims.n_text_ctx.max(2 * max_rows)),
            logits: Vec::new(),
            abandoned: false,
        }
    }

    fn per_row(&self) -> usize {
        self.tokens.len() / self.rows
    }
}

/// Runs the next tokens of all sequences through all layers.
///
/// Each row of a product, and each query of an attention, is computed as it would be alone: who steps with whom changes no bit.
fn step<W: WeightMatrix>(
    model: &CpuModel<W>,
    memory: &mut Memory,
    batch: &mut [Sequences],
    mut capture: Option<Capture<'_>>,
) {
    let (dims, pool) = (&model.dims, &model.cores.pool);
    let (width, heads) = (dims.n_text_state, dims.n_text_head);
    let count: usize = batch.iter().map(|sequences| sequences.tokens.len()).sum();
    let Memory { x, attended, wide, workspace, .. } = memory;
    let x = grown(x, count * width);
    let attended = grown(attended, count * width);
    let wide = grown(wide, count * 3 * width);
    let mut rest = &mut *x;
    for sequences in &*batch {
        let per_row = sequences.per_row();
        for (index, token) in sequences.tokens.iter().enumerate() {
            let (x, after) = rest.split_at_mut(width);
            rest = after;
            model.tokens.row(*token as usize, x);
            let position = sequences.length + index % per_row;
            for (x, place) in x.iter_mut().zip(&model.text_positions[position * width..]) {
                *x += place;
            }
        }
    }
    for (index, layer) in model.decoder.iter().enumerate() {
        let qkv = &mut wide[..count * 3 * width];
        let normed = Activations::new(x, width).normed(layer.attention_norm.get());
        layer.qkv.apply(pool, normed, After::NOTHING, qkv, workspace);
        let mut news = qkv.chunks_exact(3 * width);
        for sequences in &mut *batch {
            let (per_row, length) = (sequences.per_row(), sequences.length);
            for row in 0..sequences.rows {
                for (position, qkv) in (length..).zip(news.by_ref().take(per_row)) {
                    sequences.cache.put(index, row, position, &qkv[width..]);
                }
            }
        }
        let queries = Activations { data: qkv, rows: count, stride: 3 * width, norm: None };
        let seen = |query| {
            let (sequences, query) = owner(batch, query);
            let (row, position) = (query / sequences.per_row(), query % sequences.per_row());
            sequences.cache.row(index, row, sequences.length + position + 1)
        };
        attend_cached(pool, heads, queries, seen, attended, workspace);
        layer.attention_out.apply(pool, Activations::new(attended, width), After::ADD, x, workspace);

        let queries = &mut wide[..count * width];
        let normed = Activations::new(x, width).normed(layer.cross_norm.get());
        layer.cross_query.apply(pool, normed, After::NOTHING, queries, workspace);
        if let (Some(capture), [sequences]) = (&mut capture, &*batch) {
            capture.take(index, queries, &sequences.cross[index]);
        }
        let source = |at: usize| {
            let first: usize = batch[..at].iter().map(|sequences| sequences.tokens.len()).sum();
            (&batch[at].cross[index], first..first + batch[at].tokens.len())
        };
        attend_each(pool, batch.len(), source, Activations::new(queries, width), attended, workspace);
        layer.cross_out.apply(pool, Activations::new(attended, width), After::ADD, x, workspace);
        layer.mlp.apply(pool, x, workspace);
    }
    for sequences in &mut *batch {
        sequences.length += sequences.per_row();
    }
    project(model, memory, batch);
}

/// Whose the query is, and which of its own.
fn owner(batch: &[Sequences], mut query: usize) -> (&Sequences, usize) {
    for sequences in batch {
        match query.checked_sub(sequences.tokens.len()) {
            Some(later) => query = later,
            None => return (sequences, query),
        }
    }
    unreachable!("BUG: every query is of some sequence")
}

/// Logits of the tokens that want them.
fn project<W: WeightMatrix>(model: &CpuModel<W>, memory: &mut Memory, batch: &mut [Sequences]) {
    let (width, n_vocab) = (model.dims.n_text_state, model.dims.n_vocab);
    let Memory { x, chosen, logits, workspace, .. } = memory;
    chosen.clear();
    let mut first = 0;
    for sequences in &mut *batch {
        for index in &sequences.wanted {
            chosen.extend_from_slice(&x[(first + index) * width..][..width]);
        }
        first += sequences.tokens.len();
        sequences.logits.resize(sequences.wanted.len() * n_vocab, 0.0);
    }
    let rows = Activations::new(chosen, width).normed(model.decoder_norm.get());
    let mut multiply = |out: &mut [f32]| {
        model.tokens.multiply(&model.cores.pool, rows, Epilogue::default(), out, n_vocab, workspace);
    };
    if let [sequences] = batch {
        return multiply(&mut sequences.logits);
    }
    let logits = grown(logits, rows.rows * n_vocab);
    multiply(logits);
    let mut from = 0;
    for sequences in batch {
        let to = from + sequences.logits.len();
        sequences.logits.copy_from_slice(&logits[from..to]);
        from = to;
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
        self.sequences().cross.first().map_or(0, KeyValues::positions)
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
        let cross = &mut self.sequences_mut().cross;
        model.cores.alone(|Memory { wide, workspace, .. }| {
            let keys_values = grown(wide, positions * 2 * width);
            for (layer, cross) in model.decoder.iter().zip(cross) {
                let encoded = Activations::new(encoded, width);
                layer.cross_kv.apply(&model.cores.pool, encoded, After::NOTHING, keys_values, workspace);
                cross.fill(&model.cores.pool, keys_values, &keys_values[width..], 2 * width, positions);
            }
        });
        self.restart(1)
    }

    fn restart(&mut self, rows: usize) -> Result<(), BackendError> {
        if rows == 0 || rows > self.max_rows {
            return Err(BackendError::TooManyRows { rows, limit: self.max_rows });
        }
        let sequences = self.sequences_mut();
        sequences.rows = rows;
        sequences.length = 0;
        Ok(())
    }

    fn reorder(&mut self, sources: &[usize]) -> Result<(), BackendError> {
        if sources.is_empty() || sources.len() > self.max_rows {
            return Err(BackendError::TooManyRows { rows: sources.len(), limit: self.max_rows });
        }
        let sequences = self.sequences_mut();
        if let Some(found) = sources.iter().copied().find(|source| *source >= sequences.rows) {
            return Err(BackendError::Shape { what: "row to go on from", found, expected: sequences.rows });
        }
        sequences.cache.reorder(sources, sequences.length);
        sequences.rows = sources.len();
        Ok(())
    }

    fn forward(&mut self, tokens: &[TokenId], want: LogitsFor, logits: &mut Vec<f32>) -> Result<(), BackendError> {
        let rows = self.sequences().rows;
        let per_row = tokens.len() / rows;
        if per_row == 0 || per_row * rows != tokens.len() {
            return Err(BackendError::Shape { what: "list of tokens", found: tokens.len(), expected: rows });
        }
        if let LogitsFor::LastAnd(position) = want
            && position >= per_row
        {
            return Err(BackendError::Shape { what: "position of logits", found: position, expected: per_row });
        }
        self.give(tokens, (0..rows).flat_map(|row| want.positions(per_row).map(move |at| row * per_row + at)))?;
        let mut sequences = self.sequences.take().expect(LENT);
        // They are written where the caller wants them.
        std::mem::swap(&mut sequences.logits, logits);
        let model = &*self.model;
        let mut sequences = model.cores.together(sequences, |memory, batch| step(model, memory, batch, None));
        std::mem::swap(&mut sequences.logits, logits);
        let abandoned = std::mem::take(&mut sequences.abandoned);
        self.sequences = Some(sequences);
        if abandoned {
            let reason = "a step that was made for several windows was broken off".to_owned();
            return Err(BackendError::Device { device: model.device.name.clone(), reason });
        }
        Ok(())
    }

    fn align(
        &mut self,
        tokens: &[TokenId],
        heads: &[(usize, usize)],
        scores: &mut [f32],
        logits: &mut Vec<f32>,
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
        self.restart(1)?;
        self.give(tokens, 0..tokens.len())?;
        let model = Arc::clone(&self.model);
        let capture = Capture { heads, scores, tokens: tokens.len() };
        let sequences = self.sequences.as_mut().expect(LENT);
        std::mem::swap(&mut sequences.logits, logits);
        model.cores.alone(|memory| step(&model, memory, std::slice::from_mut(sequences), Some(capture)));
        std::mem::swap(&mut sequences.logits, logits);
        self.restart(1)
    }
}
