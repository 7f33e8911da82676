//! Writes folders as Hugging Face publishes them.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use amanuensis_whisper::Dtype;
use safetensors::tensor::TensorView;
use serde_json::json;

use crate::{Recipe, quantise};

/// The number type of a folder's tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FolderType {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// bfloat16.
    Bf16,
}

/// What a folder looks like.
#[derive(Debug, Clone, Copy)]
pub struct Folder {
    /// Number type of the tensors.
    pub number_type: FolderType,
    /// Files that the tensors are spread over.
    pub shards: usize,
    /// Whether the vocabulary is in `tokenizer.json` or in `vocab.json`.
    pub tokenizer_json: bool,
}

/// Writes a model as `config.json`, safetensors and a vocabulary into a folder that exists.
///
/// # Errors
/// What the system says.
pub fn write_folder(path: &Path, recipe: &Recipe, folder: Folder) -> io::Result<()> {
    let dims = &recipe.dims;
    let config = json!({
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "d_model": dims.n_audio_state,
        "decoder_attention_heads": dims.n_text_head,
        "decoder_layers": dims.n_text_layer,
        "encoder_attention_heads": dims.n_audio_head,
        "encoder_layers": dims.n_audio_layer,
        "max_source_positions": dims.n_audio_ctx,
        "max_target_positions": dims.n_text_ctx,
        "num_mel_bins": dims.n_mels,
        "vocab_size": dims.n_vocab,
    });
    std::fs::write(path.join("config.json"), config.to_string())?;
    write_vocabulary(path, recipe, folder.tokenizer_json)?;
    let (dtype, stored) = match folder.number_type {
        FolderType::F32 => (Dtype::F32, safetensors::Dtype::F32),
        FolderType::F16 => (Dtype::F16, safetensors::Dtype::F16),
        FolderType::Bf16 => (Dtype::Bf16, safetensors::Dtype::BF16),
    };
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> =
        recipe.tensors().map(|(name, shape, values)| (their_name(&name), shape, quantise(dtype, &values))).collect();
    let mut places = BTreeMap::new();
    for shard in 0..folder.shards {
        let name = match folder.shards {
            1 => "model.safetensors".to_owned(),
            count => format!("model-{:05}-of-{count:05}.safetensors", shard + 1),
        };
        let part = tensors.iter().enumerate().filter(|(index, _)| index % folder.shards == shard);
        let views: Vec<(&str, TensorView<'_>)> = part
            .map(|(_, (name, shape, bytes))| {
                places.insert(name.clone(), shard_name(shard, folder.shards));
                let view = TensorView::new(stored, shape.clone(), bytes);
                (name.as_str(), view.expect("BUG: the bytes were made for the shape"))
            })
            .collect();
        safetensors::serialize_to_file(views, None, &path.join(name)).map_err(io::Error::other)?;
    }
    if folder.shards > 1 {
        let index = json!({ "metadata": { "total_size": 0 }, "weight_map": places });
        std::fs::write(path.join("model.safetensors.index.json"), index.to_string())?;
    }
    Ok(())
}

fn shard_name(shard: usize, shards: usize) -> String {
    format!("model-{:05}-of-{shards:05}.safetensors", shard + 1)
}

/// Hugging Face's name of a tensor.
fn their_name(name: &str) -> String {
    let mut name = format!("model.{name}");
    for (ours, theirs) in [
        (".token_embedding.", ".embed_tokens."),
        (".positional_embedding", ".embed_positions.weight"),
        (".ln_post.", ".layer_norm."),
        (".decoder.ln.", ".decoder.layer_norm."),
        (".blocks.", ".layers."),
        (".cross_attn_ln.", ".encoder_attn_layer_norm."),
        (".attn_ln.", ".self_attn_layer_norm."),
        (".mlp_ln.", ".final_layer_norm."),
        (".cross_attn.", ".encoder_attn."),
        (".attn.", ".self_attn."),
        (".query.", ".q_proj."),
        (".key.", ".k_proj."),
        (".value.", ".v_proj."),
        (".out.", ".out_proj."),
        (".mlp.0.", ".fc1."),
        (".mlp.2.", ".fc2."),
    ] {
        name = name.replace(ours, theirs);
    }
    name
}

fn write_vocabulary(path: &Path, recipe: &Recipe, tokenizer_json: bool) -> io::Result<()> {
    let letters = letters();
    let mut vocabulary: BTreeMap<String, usize> = recipe
        .vocabulary()
        .iter()
        .enumerate()
        .map(|(id, token)| (token.iter().map(|byte| letters[usize::from(*byte)]).collect(), id))
        .collect();
    vocabulary.insert("<|endoftext|>".to_owned(), vocabulary.len());
    if tokenizer_json {
        let tokenizer = json!({ "version": "1.0", "model": { "type": "BPE", "vocab": vocabulary, "merges": [] } });
        std::fs::write(path.join("tokenizer.json"), tokenizer.to_string())
    } else {
        std::fs::write(path.join("vocab.json"), json!(vocabulary).to_string())
    }
}

/// GPT-2's letter for every byte: itself where it can be printed, else the next from U+0100 on.
fn letters() -> Vec<char> {
    let mut others = (0x100_u32..).filter_map(char::from_u32);
    (0..=255_u8)
        .map(|byte| match byte {
            0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
            _ => others.next().unwrap_or_default(),
        })
        .collect()
}
