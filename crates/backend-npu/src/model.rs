//! A model whose encoder is the NPU's and whose decoder is another backend's.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use amanuensis_whisper::{BackendError, Decoder, DeviceInfo, Dims, EncodeReport, Encoder, MelView, Model, Weights};

use crate::{NpuError, NpuOptions, open};

/// Puts the encoder of `model`, which was made of the same `weights`, on the NPU.
///
/// There is one encoder, for there is one NPU: all that the model hands out are handles of it, which take turns.
///
/// # Errors
/// As [`open`].
pub fn load(weights: &Weights, model: Arc<dyn Model>, options: &NpuOptions) -> Result<Arc<dyn Model>, NpuError> {
    let encoder = open(weights, Arc::clone(&model).encoder(), options)?;
    let dims = *encoder.dims();
    Ok(Arc::new(NpuModel { model, encoder: Arc::new(Mutex::new(encoder)), dims }))
}

struct NpuModel {
    model: Arc<dyn Model>,
    encoder: Arc<Mutex<Box<dyn Encoder>>>,
    dims: Dims,
}

impl Model for NpuModel {
    fn dims(&self) -> &Dims {
        &self.dims
    }

    fn encoder(self: Arc<Self>) -> Box<dyn Encoder> {
        Box::new(Handle { encoder: Arc::clone(&self.encoder), dims: self.dims })
    }

    fn decoder(self: Arc<Self>, max_rows: usize) -> Box<dyn Decoder> {
        Arc::clone(&self.model).decoder(max_rows)
    }
}

/// One of the encoder's users.
struct Handle {
    encoder: Arc<Mutex<Box<dyn Encoder>>>,
    dims: Dims,
}

impl fmt::Debug for Handle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.device().fmt(formatter)
    }
}

impl Encoder for Handle {
    fn dims(&self) -> &Dims {
        &self.dims
    }

    fn device(&self) -> DeviceInfo {
        self.encoder.lock().unwrap_or_else(PoisonError::into_inner).device()
    }

    fn encode(&mut self, windows: &[MelView<'_>], outputs: &mut [&mut [f32]]) -> Result<EncodeReport, BackendError> {
        self.encoder.lock().unwrap_or_else(PoisonError::into_inner).encode(windows, outputs)
    }
}
