//! Reads the header of a safetensors file: eight bytes of length, then JSON from each tensor's name
//! to its type, shape and place. Enough to know that a file is whole and of the right model,
//! without its megabytes. Format: <https://huggingface.co/docs/safetensors>.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde::Deserialize;

use super::EmbeddingError;

/// The format's own limit.
const MAX_HEADER_BYTES: u64 = 100_000_000;
const LENGTH_BYTES: u64 = 8;

pub(super) struct Header {
    tensors: HashMap<String, Tensor>,
}

#[derive(Deserialize)]
struct Tensor {
    shape: Vec<usize>,
    /// Begin and end, counted from the end of the header.
    data_offsets: (u64, u64),
}

impl Header {
    /// Reads the header and checks that the file is as long as it says.
    pub(super) fn read(path: &Path) -> Result<Self, EmbeddingError> {
        let mut file = File::open(path).map_err(EmbeddingError::unreadable(path))?;
        let file_bytes = file.metadata().map_err(EmbeddingError::unreadable(path))?.len();
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(|error| EmbeddingError::damaged(path, &error))?;
        let length = u64::from_le_bytes(length);
        if length > MAX_HEADER_BYTES {
            return Err(EmbeddingError::damaged(path, &"it is no safetensors file"));
        }
        let mut json = Vec::new();
        file.take(length).read_to_end(&mut json).map_err(EmbeddingError::unreadable(path))?;
        let mut fields: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(&json).map_err(|error| EmbeddingError::damaged(path, &error))?;
        fields.remove("__metadata__");
        let tensors = fields
            .into_iter()
            .map(|(name, value)| Ok((name, serde_json::from_value::<Tensor>(value)?)))
            .collect::<Result<HashMap<_, _>, serde_json::Error>>()
            .map_err(|error| EmbeddingError::damaged(path, &error))?;
        let data_bytes = tensors.values().map(|tensor| tensor.data_offsets.1).max().unwrap_or(0);
        let expected = (LENGTH_BYTES + length).saturating_add(data_bytes);
        if expected != file_bytes {
            let problem = format!("it has {file_bytes} bytes instead of {expected}");
            return Err(EmbeddingError::damaged(path, &problem));
        }
        Ok(Self { tensors })
    }

    pub(super) fn shape(&self, tensor: &str) -> Option<&[usize]> {
        self.tensors.get(tensor).map(|tensor| tensor.shape.as_slice())
    }
}
