#!/usr/bin/env python3
"""Trains the emotion classifier on GoEmotions and writes src/emotion/weights/goemotions.bin.

Two logistic regressions over seven classes, one on TF-IDF of words, pairs and word pieces, one on
MiniLM sentence vectors. Their log probabilities are mixed, and the classes' prior is partly divided
out. The layout of the file is described in src/emotion/weights/README.md.
"""

import os

# Small products: threads would spend their time waiting for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import struct
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import StratifiedKFold

from minilm import MiniLm
from words import key, ngrams

EMOTIONS = ["joy", "sadness", "anger", "fear", "surprise", "disgust", "neutral"]
MAGIC = b"RHEMOT01"
SEED = 7
FEATURES = 65_000
LEAST_DOCUMENTS = 3
WORDS_C = 2.0
VECTORS_C = 10.0
# The best sum of accuracy and macro-F1 in cross-validation on train.tsv (--tune), not on dev.tsv.
VECTORS_SHARE = 0.25
PRIOR_POWER = 0.4


def read_rows(folder, split):
    """Texts, and for each the sorted set of its classes."""
    names = (folder / "emotions.txt").read_text().split()
    mapping = json.loads((folder / "ekman_mapping.json").read_text())
    fine_to_class = {fine: name for name, fines in mapping.items() for fine in fines}
    fine_to_class["neutral"] = "neutral"
    class_of = [EMOTIONS.index(fine_to_class[name]) for name in names]
    texts, classes = [], []
    for line in (folder / f"{split}.tsv").read_text(encoding="utf-8").split("\n"):
        if line:
            text, labels, _ = line.split("\t")
            texts.append(text)
            classes.append(sorted({class_of[int(label)] for label in labels.split(",")}))
    return texts, classes


def embed(embedder, texts, cache):
    """Vectors of the texts, kept in a file between runs where one is named."""
    if cache and cache.exists():
        return np.load(cache)
    vectors = embedder.embed(texts, lambda at, of: at % 6400 or print(f"  {at} of {of}", flush=True))
    if cache:
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.save(cache, vectors)
    return vectors


class Classifier:
    """Both regressions, trained on rows; a row of several classes counts once for each, in parts."""

    def __init__(self, texts, vectors, classes):
        rows = [(row, label) for row, labels in enumerate(classes) for label in labels]
        index = [row for row, _ in rows]
        labels = [label for _, label in rows]
        parts = [1 / len(classes[row]) for row in index]
        self.tfidf = TfidfVectorizer(
            analyzer=ngrams, min_df=LEAST_DOCUMENTS, max_features=FEATURES, sublinear_tf=True
        )
        counted = self.tfidf.fit_transform(texts)[index]
        regression = LogisticRegression(C=WORDS_C, max_iter=300, random_state=SEED)
        self.words = regression.fit(counted, labels, sample_weight=parts)
        regression = LogisticRegression(C=VECTORS_C, max_iter=300, random_state=SEED)
        self.vectors = regression.fit(vectors[index], labels, sample_weight=parts)
        single = [labels[0] for labels in classes if len(labels) == 1]
        self.log_prior = np.log(np.bincount(single, minlength=len(EMOTIONS)) / len(single))

    def word_logs(self, texts):
        return self.words.predict_log_proba(self.tfidf.transform(texts))

    def vector_logs(self, vectors):
        return self.vectors.predict_log_proba(vectors)


class Quantised:
    """The words' regression as it is stored: hashed keys, idf in thousandths, weights in bytes."""

    def __init__(self, classifier):
        terms = classifier.tfidf.get_feature_names_out()
        weights, idf = classifier.words.coef_.T, classifier.tfidf.idf_
        # Where two n-grams share a key, the more frequent one keeps it.
        by_key = {}
        for column in np.argsort(idf, kind="stable"):
            by_key.setdefault(key(terms[column]), column)
        self.keys = sorted(by_key)
        columns = [by_key[k] for k in self.keys]
        self.idf = np.round(idf[columns] * 1000).astype(np.uint16)
        self.scale = (np.abs(weights).max(0) / 127).astype(np.float32)
        self.weights = np.round(weights[columns] / self.scale).astype(np.int8)
        self.intercept = classifier.words.intercept_.astype(np.float32)
        self.column = {k: at for at, k in enumerate(self.keys)}

    def log_probabilities(self, text):
        counts = {}
        for ngram in ngrams(text):
            at = self.column.get(key(ngram))
            if at is not None:
                counts[at] = counts.get(at, 0) + 1
        logits = self.intercept.astype(np.float64)
        if counts:
            at = np.array(list(counts))
            tf = 1 + np.log(np.array(list(counts.values())))
            values = tf * self.idf[at] / 1000
            values /= np.linalg.norm(values)
            logits = logits + (values @ self.weights[at]) * self.scale
        return logits - np.logaddexp.reduce(logits)


def mix(word_logs, vector_logs, log_prior, share=VECTORS_SHARE, power=PRIOR_POWER):
    """Probabilities of the seven classes."""
    logs = word_logs if vector_logs is None else (1 - share) * word_logs + share * vector_logs
    logs = logs - power * log_prior
    return np.exp(logs - np.logaddexp.reduce(logs, axis=-1, keepdims=True))


def figures(probabilities, truth):
    guess = probabilities.argmax(-1)
    macro = f1_score(truth, guess, average="macro")
    return f"accuracy {accuracy_score(truth, guess):.4f}  macro-F1 {macro:.4f}"


def single_rows(classes):
    return [row for row, labels in enumerate(classes) if len(labels) == 1]


def tune(texts, vectors, classes):
    """Prints cross-validated figures over a grid of share and power, on the training rows alone."""
    first = [labels[0] for labels in classes]
    gathered = []
    for kept, held in StratifiedKFold(5, shuffle=True, random_state=SEED).split(texts, first):
        held = [row for row in held if len(classes[row]) == 1]
        model = Classifier([texts[r] for r in kept], vectors[kept], [classes[r] for r in kept])
        gathered.append((
            model.word_logs([texts[r] for r in held]),
            model.vector_logs(vectors[held]),
            np.array([classes[r][0] for r in held]),
        ))
        prior = model.log_prior
    words, sentence, truth = (np.concatenate(parts) for parts in zip(*gathered))
    for share in (0, 0.25, 0.3, 0.35, 0.4, 0.45):
        for power in (0.2, 0.3, 0.4, 0.5, 0.6):
            found = figures(mix(words, sentence, prior, share, power), truth)
            print(f"share {share:.2f}  power {power:.1f}  {found}", flush=True)


def write_weights(path, embedder, classifier, stored):
    little = lambda array, kind: np.asarray(array).astype(kind).tobytes()
    name = embedder.id.encode()
    parts = [
        MAGIC,
        struct.pack("<H", len(name)), name,
        struct.pack("<If", embedder.dimensions, VECTORS_SHARE),
        little(PRIOR_POWER * classifier.log_prior, "<f4"),
        little(classifier.vectors.coef_, "<f4"),
        little(classifier.vectors.intercept_, "<f4"),
        struct.pack("<I", len(stored.keys)),
        little(stored.scale, "<f4"),
        little(stored.intercept, "<f4"),
        little(stored.keys, "<u4"),
        little(stored.idf, "<u2"),
        little(stored.weights, "i1"),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(parts))
    print(f"{path}: {path.stat().st_size:,} bytes, {len(stored.keys):,} n-grams")


def write_agreement(source, embedder, classifier, stored):
    """Fills the fixture with this side's distributions: of the words alone, and of both."""
    texts = [json.loads(line)["text"] for line in source.read_text(encoding="utf-8").splitlines()]
    vectors = embedder.embed(texts)
    logs = np.array([stored.log_probabilities(text) for text in texts])
    alone = mix(logs, None, classifier.log_prior)
    both = mix(logs, classifier.vector_logs(vectors), classifier.log_prior)
    with source.open("w", encoding="utf-8") as out:
        for text, a, b in zip(texts, alone.round(5).tolist(), both.round(5).tolist()):
            row = {"text": text, "words": a, "both": b}
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


def main():
    home = Path(__file__).resolve().parent.parent / "src" / "emotion"
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("data", type=Path, help="folder with train.tsv, dev.tsv, emotions.txt, ekman_mapping.json")
    parser.add_argument("embedder", type=Path, help="folder with all-MiniLM-L6-v2")
    parser.add_argument("--cache", type=Path, help="folder to keep sentence vectors in between runs")
    parser.add_argument("--tune", action="store_true", help="print cross-validated figures instead")
    arguments = parser.parse_args()
    embedder = MiniLm(arguments.embedder)
    cached = lambda split: arguments.cache and arguments.cache / f"{split}.npy"
    texts, classes = read_rows(arguments.data, "train")
    vectors = embed(embedder, texts, cached("train"))
    if arguments.tune:
        tune(texts, vectors, classes)
        return
    classifier = Classifier(texts, vectors, classes)
    stored = Quantised(classifier)
    write_weights(home / "weights" / "goemotions.bin", embedder, classifier, stored)
    write_agreement(home / "fixtures" / "agreement.jsonl", embedder, classifier, stored)

    texts, classes = read_rows(arguments.data, "dev")
    vectors = embed(embedder, texts, cached("dev"))
    rows = single_rows(classes)
    truth = np.array([classes[row][0] for row in rows])
    words = np.array([stored.log_probabilities(texts[row]) for row in rows])
    sentence = classifier.vector_logs(vectors[rows])
    prior = classifier.log_prior
    print(f"dev.tsv, {len(rows)} of {len(texts)} rows: those whose labels map to one class")
    print("words alone, not quantised ", figures(mix(classifier.word_logs([texts[r] for r in rows]), None, prior), truth))
    print("words alone                ", figures(mix(words, None, prior), truth))
    print("vectors alone              ", figures(mix(sentence, None, prior), truth))
    print("both                       ", figures(mix(words, sentence, prior), truth))


if __name__ == "__main__":
    main()
