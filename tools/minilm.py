"""all-MiniLM-L6-v2 in numpy: the vectors that src/embedding/minilm.rs computes.

Token vectors are averaged over the attention mask and scaled to length one, in f32; texts are cut at
256 tokens. No deep-learning framework is needed, which keeps the training's requirements small.
"""

import hashlib
import json
import math
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from scipy.special import erf
from tokenizers import Tokenizer

MAX_TOKENS = 256
BATCH = 64


class MiniLm:
    """A BERT encoder with mean pooling, loaded from the folder that `rhapsode models pull` fills."""

    def __init__(self, folder):
        folder = Path(folder)
        weights_file = folder / "model.safetensors"
        config = json.loads((folder / "config.json").read_text())
        self.weights = {
            name.removeprefix("bert."): tensor.astype(np.float32)
            for name, tensor in load_file(weights_file).items()
            if np.issubdtype(tensor.dtype, np.floating)
        }
        self.heads = config["num_attention_heads"]
        self.layers = config["num_hidden_layers"]
        self.dimensions = config["hidden_size"]
        self.epsilon = config["layer_norm_eps"]
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(MAX_TOKENS)
        self.tokenizer.no_padding()
        # As `id_of` of src/embedding/minilm.rs: the weights name themselves.
        self.id = "minilm-" + hashlib.sha256(weights_file.read_bytes()).digest()[:6].hex()

    def embed(self, texts, progress=None):
        """One vector of length one a text, in the order given."""
        encodings = [self.tokenizer.encode(text).ids for text in texts]
        order = sorted(range(len(texts)), key=lambda index: len(encodings[index]))
        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            vectors[batch] = self._embed_batch([encodings[index] for index in batch])
            if progress:
                progress(start + len(batch), len(order))
        return vectors

    def _embed_batch(self, batch):
        longest = max(map(len, batch))
        tokens = np.zeros((len(batch), longest), np.int64)
        mask = np.zeros((len(batch), longest), np.float32)
        for row, ids in enumerate(batch):
            tokens[row, : len(ids)] = ids
            mask[row, : len(ids)] = 1
        hidden = self._encode(tokens, mask)
        mean = (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)

    def _encode(self, tokens, mask):
        w = self.weights
        hidden = w["embeddings.word_embeddings.weight"][tokens]
        hidden = hidden + w["embeddings.position_embeddings.weight"][: tokens.shape[1]]
        hidden = hidden + w["embeddings.token_type_embeddings.weight"][0]
        hidden = self._norm(hidden, "embeddings.LayerNorm")
        unseen = (mask[:, None, None, :] - 1) * 1e9
        for layer in range(self.layers):
            at = f"encoder.layer.{layer}."
            mixed = self._attend(hidden, unseen, at + "attention.self.")
            mixed = self._linear(mixed, at + "attention.output.dense")
            hidden = self._norm(mixed + hidden, at + "attention.output.LayerNorm")
            wide = self._linear(hidden, at + "intermediate.dense")
            wide = wide * np.float32(0.5) * (1 + erf(wide * np.float32(1 / math.sqrt(2))))
            narrow = self._linear(wide, at + "output.dense")
            hidden = self._norm(narrow + hidden, at + "output.LayerNorm")
        return hidden

    def _attend(self, hidden, unseen, at):
        def split(name):
            projected = self._linear(hidden, at + name)
            shape = (*projected.shape[:2], self.heads, -1)
            return projected.reshape(shape).transpose(0, 2, 1, 3)

        query, key, value = split("query"), split("key"), split("value")
        scores = query @ key.transpose(0, 1, 3, 2) / np.float32(math.sqrt(query.shape[-1])) + unseen
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = scores / scores.sum(-1, keepdims=True) @ value
        return mixed.transpose(0, 2, 1, 3).reshape(hidden.shape)

    def _linear(self, hidden, name):
        flat = hidden.reshape(-1, hidden.shape[-1])
        product = flat @ self.weights[name + ".weight"].T + self.weights[name + ".bias"]
        return product.reshape(*hidden.shape[:-1], -1)

    def _norm(self, hidden, name):
        centred = hidden - hidden.mean(-1, keepdims=True)
        scale = np.sqrt((centred * centred).mean(-1, keepdims=True) + np.float32(self.epsilon))
        return centred / scale * self.weights[name + ".weight"] + self.weights[name + ".bias"]
