//! Folders as Hugging Face publishes them: `config.json`, safetensors, and a tokenizer.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use safetensors::{Dtype as Stored, SafeTensors};
use serde::Deserialize;

use super::{Dtype, Parts, Place, WeightError, map, plausible};
use crate::{Dims, Tokenizer};

/// Largest JSON file that is read: large-v3's tokenizer has 2.5 MB.
const MOST_JSON_BYTES: u64 = 64 << 20;
/// Published models have at most four shards.
const MOST_SHARDS: usize = 64;

#[derive(Deserialize)]
struct Config {
    num_mel_bins: usize,
    max_source_positions: usize,
    max_target_positions: usize,
    d_model: usize,
    encoder_layers: usize,
    encoder_attention_heads: usize,
    decoder_layers: usize,
    decoder_attention_heads: usize,
    vocab_size: usize,
}

#[derive(Deserialize)]
struct Index {
    weight_map: HashMap<String, String>,
}

#[derive(Deserialize)]
struct TokenizerFile {
    model: TokenizerModel,
}

#[derive(Deserialize)]
struct TokenizerModel {
    vocab: HashMap<String, usize>,
}

pub(super) fn open(folder: &Path) -> Result<Parts, WeightError> {
    let not_a_model = |reason| WeightError::NotAModel { path: folder.to_owned(), reason };
    let has = |name: &str| folder.join(name).is_file();
    if !has("config.json") {
        return Err(not_a_model("it is a folder without config.json".to_owned()));
    }
    let config: Config = json(folder, "config.json")?;
    let dims = Dims {
        n_mels: config.num_mel_bins,
        n_audio_ctx: config.max_source_positions,
        n_audio_state: config.d_model,
        n_audio_head: config.encoder_attention_heads,
        n_audio_layer: config.encoder_layers,
        n_vocab: config.vocab_size,
        n_text_ctx: config.max_target_positions,
        n_text_state: config.d_model,
        n_text_head: config.decoder_attention_heads,
        n_text_layer: config.decoder_layers,
    };
    plausible(&dims).map_err(not_a_model)?;
    let vocabulary = if has("vocab.json") {
        json::<HashMap<String, usize>>(folder, "vocab.json")?
    } else if has("tokenizer.json") {
        json::<TokenizerFile>(folder, "tokenizer.json")?.model.vocab
    } else {
        return Err(not_a_model("it has neither vocab.json nor tokenizer.json".to_owned()));
    };
    let tokens = byte_tokens(vocabulary).map_err(not_a_model)?;
    let tokenizer = Tokenizer::new(tokens, dims.n_vocab).map_err(|error| not_a_model(error.to_string()))?;

    let mut files = Vec::new();
    let mut places = HashMap::new();
    for path in shards(folder)? {
        let file = map(&path)?;
        let damaged = |reason: String| WeightError::Damaged { path: path.clone(), reason };
        let tensors = SafeTensors::deserialize(&file).map_err(|error| damaged(error.to_string()))?;
        for (name, view) in tensors.iter() {
            let Some(name) = openai_name(name) else { continue };
            let dtype = match view.dtype() {
                Stored::F32 => Dtype::F32,
                Stored::F16 => Dtype::F16,
                Stored::BF16 => Dtype::Bf16,
                other => {
                    return Err(damaged(format!(
                        "its tensor {name} is stored as {other:?}; f32, f16 and bf16 are supported"
                    )));
                }
            };
            let start = view.data().as_ptr() as usize - file.as_ptr() as usize;
            let place =
                Place { file: files.len(), start, bytes: view.data().len(), dtype, shape: view.shape().to_vec() };
            places.insert(name, place);
        }
        files.push(file);
    }
    Ok(Parts { dims, tokenizer, files, places })
}

fn json<T: serde::de::DeserializeOwned>(folder: &Path, name: &str) -> Result<T, WeightError> {
    let path = folder.join(name);
    let io = |source| WeightError::Io { path: path.clone(), source };
    let not_a_model = |reason| WeightError::NotAModel { path: folder.to_owned(), reason };
    let length = std::fs::metadata(&path).map_err(io)?.len();
    if length > MOST_JSON_BYTES {
        return Err(not_a_model(format!("its {name} has {length} bytes")));
    }
    let text = std::fs::read(&path).map_err(io)?;
    serde_json::from_slice(&text).map_err(|error| not_a_model(format!("its {name} cannot be understood ({error})")))
}

fn shards(folder: &Path) -> Result<Vec<PathBuf>, WeightError> {
    const INDEX: &str = "model.safetensors.index.json";
    let not_a_model = |reason: &str| WeightError::NotAModel { path: folder.to_owned(), reason: reason.to_owned() };
    let only = folder.join("model.safetensors");
    if only.is_file() {
        return Ok(vec![only]);
    }
    if !folder.join(INDEX).is_file() {
        return Err(not_a_model("it has no model.safetensors"));
    }
    let mut names: Vec<String> = json::<Index>(folder, INDEX)?.weight_map.into_values().collect();
    names.sort();
    names.dedup();
    // A name from the index must not lead out of the folder.
    let harmless = |name: &String| Path::new(name).components().count() == 1 && !name.starts_with('.');
    if names.len() > MOST_SHARDS || !names.iter().all(harmless) {
        return Err(not_a_model("its index names files that are not in it"));
    }
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

/// Tokens in order of their ids, from text in GPT-2's printable alphabet back to bytes. Special tokens are left out: they are
/// known by the vocabulary's size.
fn byte_tokens(vocabulary: HashMap<String, usize>) -> Result<Vec<Vec<u8>>, String> {
    let alphabet = alphabet();
    let mut by_id: Vec<(usize, String)> = vocabulary.into_iter().map(|(text, id)| (id, text)).collect();
    by_id.sort();
    let mut tokens = Vec::new();
    for (id, text) in by_id {
        if text.starts_with("<|") && text.ends_with("|>") {
            break;
        }
        if id != tokens.len() {
            return Err(format!("its vocabulary leaves out token {}", tokens.len()));
        }
        let bytes: Option<Vec<u8>> = text.chars().map(|letter| alphabet.get(&letter).copied()).collect();
        tokens.push(bytes.ok_or_else(|| format!("its token {id} has letters outside of the byte alphabet"))?);
    }
    Ok(tokens)
}

/// GPT-2's printable letter for every byte, the other way round.
///
/// *Source*: <https://github.com/openai/gpt-2/blob/master/src/encoder.py>
fn alphabet() -> HashMap<char, u8> {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let mut next = 256_u32;
    (0..=255_u8)
        .map(|byte| {
            let letter = if printable(byte) {
                char::from(byte)
            } else {
                next += 1;
                char::from_u32(next - 1).expect("BUG: 256 to 323 are letters")
            };
            (letter, byte)
        })
        .collect()
}

/// OpenAI's name of a tensor that Hugging Face names otherwise; `None` for what the model does not need.
fn openai_name(name: &str) -> Option<String> {
    let name = name.strip_prefix("model.").unwrap_or(name);
    let fixed = match name {
        "encoder.embed_positions.weight" => "encoder.positional_embedding",
        "encoder.layer_norm.weight" => "encoder.ln_post.weight",
        "encoder.layer_norm.bias" => "encoder.ln_post.bias",
        "decoder.embed_tokens.weight" => "decoder.token_embedding.weight",
        "decoder.embed_positions.weight" => "decoder.positional_embedding",
        "decoder.layer_norm.weight" => "decoder.ln.weight",
        "decoder.layer_norm.bias" => "decoder.ln.bias",
        // The output projection is the token embedding.
        "proj_out.weight" => return None,
        _ => "",
    };
    if !fixed.is_empty() {
        return Some(fixed.to_owned());
    }
    let mut out = name.replace(".layers.", ".blocks.");
    for (theirs, ours) in [
        (".self_attn_layer_norm.", ".attn_ln."),
        (".encoder_attn_layer_norm.", ".cross_attn_ln."),
        (".final_layer_norm.", ".mlp_ln."),
        (".self_attn.", ".attn."),
        (".encoder_attn.", ".cross_attn."),
        (".q_proj.", ".query."),
        (".k_proj.", ".key."),
        (".v_proj.", ".value."),
        (".out_proj.", ".out."),
        (".fc1.", ".mlp.0."),
        (".fc2.", ".mlp.2."),
    ] {
        out = out.replace(theirs, ours);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_openais() {
        for (theirs, ours) in [
            ("model.encoder.layers.0.self_attn.q_proj.weight", "encoder.blocks.0.attn.query.weight"),
            ("model.decoder.layers.3.encoder_attn.out_proj.bias", "decoder.blocks.3.cross_attn.out.bias"),
            ("model.decoder.layers.3.encoder_attn_layer_norm.bias", "decoder.blocks.3.cross_attn_ln.bias"),
            ("model.encoder.layers.1.fc2.weight", "encoder.blocks.1.mlp.2.weight"),
            ("model.encoder.layers.1.final_layer_norm.weight", "encoder.blocks.1.mlp_ln.weight"),
            ("model.encoder.conv1.weight", "encoder.conv1.weight"),
        ] {
            assert_eq!(openai_name(theirs).as_deref(), Some(ours));
        }
        assert_eq!(openai_name("proj_out.weight"), None);
    }

    #[test]
    fn the_alphabet_covers_every_byte() {
        let mut bytes: Vec<u8> = alphabet().into_values().collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
        assert_eq!(alphabet()[&'Ġ'], b' ');
    }
}
