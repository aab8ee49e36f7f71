//! What `/metrics` tells, in the names that roleplay servers' dashboards know. Counts and durations
//! only; never a text, never a session's name.

use prometheus::{
    Encoder as _, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    Opts, Registry, TextEncoder,
};

/// Counters of one server.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    /// By `status`: ok, failed, left.
    pub chat_requests: IntCounterVec,
    /// Seconds from a turn's arrival to its end.
    pub chat_request_duration: Histogram,
    /// By `kind`: prompt, cached, completion.
    pub tokens_used: IntCounterVec,
    /// Tokens of a turn's prompt.
    pub context_tokens: Histogram,
    /// By `emotion`.
    pub emotions_detected: IntCounterVec,
    /// By `emotion`, 0 to 1.
    pub emotion_confidence: HistogramVec,
    pub rag_retrievals: IntCounter,
    /// Seconds that recall took, the embedding aside.
    pub rag_retrieval_duration: Histogram,
    /// Memories that one recall brought.
    pub rag_results: Histogram,
    /// Sessions in working memory.
    pub active_sessions: IntGauge,
    /// Messages on the paths of those.
    pub memory_messages: IntGauge,
    /// By `code`.
    pub errors: IntCounterVec,
}

const SECONDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0];
const RECALL_SECONDS: [f64; 8] = [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25];
const TOKENS: [f64; 9] = [256.0, 512.0, 1e3, 2e3, 4e3, 8e3, 16e3, 32e3, 128e3];
const RESULTS: [f64; 6] = [0.0, 1.0, 3.0, 5.0, 10.0, 20.0];
const SHARES: [f64; 6] = [0.2, 0.4, 0.6, 0.8, 0.9, 1.0];

impl Metrics {
    /// Fails only if two metrics had one name.
    pub fn new() -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| IntCounter::new(name, help);
        let counters = |name: &str, help: &str, label: &str| {
            IntCounterVec::new(Opts::new(name, help), &[label])
        };
        let gauge = |name: &str, help: &str| IntGauge::new(name, help);
        let options = |name: &str, help: &str, at: &[f64]| {
            HistogramOpts::new(name, help).buckets(at.to_vec())
        };
        let histogram =
            |name: &str, help: &str, at: &[f64]| Histogram::with_opts(options(name, help, at));
        let metrics = Self {
            registry: Registry::new(),
            chat_requests: counters(
                "chat_requests_total",
                "Turns of talk, by how they ended",
                "status",
            )?,
            chat_request_duration: histogram(
                "chat_request_duration_seconds",
                "From a turn's arrival to its end",
                &SECONDS,
            )?,
            tokens_used: counters("tokens_used_total", "Tokens read and written in talks", "kind")?,
            context_tokens: histogram("context_tokens", "Tokens of a turn's prompt", &TOKENS)?,
            emotions_detected: counters(
                "emotions_detected_total",
                "Emotions of users' messages",
                "emotion",
            )?,
            emotion_confidence: HistogramVec::new(
                options("emotion_confidence", "Confidence in the emotion", &SHARES),
                &["emotion"],
            )?,
            rag_retrievals: counter("rag_retrievals_total", "Searches of memory")?,
            rag_retrieval_duration: histogram(
                "rag_retrieval_duration_seconds",
                "Searching memory, the embedding aside",
                &RECALL_SECONDS,
            )?,
            rag_results: histogram("rag_results_count", "Memories one search brought", &RESULTS)?,
            active_sessions: gauge("active_chat_sessions", "Sessions in working memory")?,
            memory_messages: gauge("memory_messages_total", "Messages in working memory")?,
            errors: counters("errors_total", "Requests that were refused or failed", "code")?,
        };
        metrics.register()?;
        Ok(metrics)
    }

    fn register(&self) -> Result<(), prometheus::Error> {
        let all: [Box<dyn prometheus::core::Collector>; 12] = [
            Box::new(self.chat_requests.clone()),
            Box::new(self.chat_request_duration.clone()),
            Box::new(self.tokens_used.clone()),
            Box::new(self.context_tokens.clone()),
            Box::new(self.emotions_detected.clone()),
            Box::new(self.emotion_confidence.clone()),
            Box::new(self.rag_retrievals.clone()),
            Box::new(self.rag_retrieval_duration.clone()),
            Box::new(self.rag_results.clone()),
            Box::new(self.active_sessions.clone()),
            Box::new(self.memory_messages.clone()),
            Box::new(self.errors.clone()),
        ];
        all.into_iter().try_for_each(|metric| self.registry.register(metric))
    }

    /// Everything, in Prometheus' text format.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_names_of_the_contract_are_told() {
        let metrics = Metrics::new().unwrap();
        metrics.chat_requests.with_label_values(&["ok"]).inc();
        metrics.tokens_used.with_label_values(&["prompt"]).inc_by(7);
        metrics.emotions_detected.with_label_values(&["joy"]).inc();
        metrics.emotion_confidence.with_label_values(&["joy"]).observe(0.7);
        metrics.errors.with_label_values(&["NOT_FOUND"]).inc();
        let text = metrics.text().unwrap();
        for name in [
            "chat_requests_total",
            "chat_request_duration_seconds",
            "tokens_used_total",
            "context_tokens",
            "emotions_detected_total",
            "emotion_confidence",
            "rag_retrievals_total",
            "rag_retrieval_duration_seconds",
            "rag_results_count",
            "active_chat_sessions",
            "memory_messages_total",
            "errors_total",
        ] {
            assert!(text.contains(&format!("# TYPE {name} ")), "{name}: {text}");
        }
        assert!(text.contains("tokens_used_total{kind=\"prompt\"} 7"), "{text}");
    }
}
