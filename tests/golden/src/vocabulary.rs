//! OpenAI's two vocabularies.

use std::io::Read;

use flate2::read::ZlibDecoder;

/// Byte strings in the order of their tokens, special tokens not among them.
///
/// *Source*: `gpt2.tiktoken` and `multilingual.tiktoken` of
/// <https://github.com/openai/whisper/tree/v20250625/whisper/assets>, MIT licence.
///
/// *Panics*: if the files in the repository are damaged.
pub fn vocabulary(multilingual: bool) -> Vec<Vec<u8>> {
    let packed: &[u8] = if multilingual {
        include_bytes!("../data/multilingual.vocabulary")
    } else {
        include_bytes!("../data/gpt2.vocabulary")
    };
    let mut bytes = Vec::new();
    ZlibDecoder::new(packed).read_to_end(&mut bytes).expect("the vocabulary in the repository is whole");
    let mut tokens = Vec::new();
    let mut rest = bytes.as_slice();
    while let Some((length, after)) = rest.split_first() {
        let (token, after) = after.split_at(usize::from(*length));
        tokens.push(token.to_vec());
        rest = after;
    }
    tokens
}
