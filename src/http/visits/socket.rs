//! A session through a WebSocket. The client sends {"text"}, and is sent chunks and a complete answer;
//! one answer at a time. {"type": "stop"} ends an answer early; a closed socket does, too.
//!
//! - Whoever doesn't read is waited for no longer than [`PATIENCE`]; the model isn't held up by it.
//! - Whoever is silent is pinged, and let go when no answer to that comes.

use std::pin::pin;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message as Frame, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::wire::{SocketEvent, SocketMessage};
use super::{Visitor, no_upgrade};
use crate::companion::{Answering, CompanionError, Companions, Message, Telling, Visit};
use crate::engine::ClientId;
use crate::http::client::Client;
use crate::http::companion::Room;
use crate::http::error::{ApiError, Code};
use crate::http::{AppState, Lifecycle};
use crate::metrics::Metrics;

/// Largest message of a client: 5,000 characters of four bytes each, and the JSON around them.
const LARGEST: usize = 32 * 1024;
/// What a socket reads and writes at once.
const BUFFER: usize = 4 * 1024;
/// What may wait for a client that reads slowly. A whole answer has to fit in: a longer message than
/// this closes the socket.
const MOST_WAITING: usize = 1024 * 1024;
/// Sockets that are open at once; each takes a few KiB and a file descriptor.
const MOST_SOCKETS: usize = 10_000;
/// How often a client is pinged. One that answers none of two pings is gone.
const PING_EVERY: Duration = Duration::from_secs(30);
/// The longest that a client may take to read what it is sent.
const PATIENCE: Duration = Duration::from_secs(30);

/// One client, and whose session it speaks in.
struct Connection {
    socket: WebSocket,
    companions: Companions,
    visitor: String,
    client: ClientId,
    lifecycle: Lifecycle,
    metrics: Metrics,
}

/// Why a socket is closed.
enum End {
    /// The client left, or can't be reached.
    Gone,
    Close {
        code: u16,
        reason: &'static str,
    },
}

const STOPPING: End = End::Close { code: close_code::AWAY, reason: "the server is stopping" };

type Step<T> = Result<T, End>;

pub(in crate::http) async fn socket(
    State(state): State<AppState>,
    Room(companions): Room,
    Visitor(visitor): Visitor,
    Client(client): Client,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let upgrade = upgrade.map_err(|_| no_upgrade())?;
    let AppState { lifecycle, metrics, .. } = state;
    let open = a_place(&lifecycle)?;
    let upgrade = upgrade
        .max_message_size(LARGEST)
        .max_frame_size(LARGEST)
        .read_buffer_size(BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(MOST_WAITING);
    Ok(upgrade.on_upgrade(async move |socket| {
        let _open = open;
        let mut connection = Connection { socket, companions, visitor, client, lifecycle, metrics };
        let end = connection.serve().await;
        connection.end(end).await;
    }))
}

/// Held as long as a socket is open.
fn a_place(lifecycle: &Lifecycle) -> Result<TaskTrackerToken, ApiError> {
    let place = lifecycle.sockets.token();
    if lifecycle.sockets.len() <= MOST_SOCKETS {
        return Ok(place);
    }
    let detail = format!(
        "{MOST_SOCKETS} WebSockets are open already; close those that are idle, and connect again"
    );
    Err(ApiError::new(Code::TooManySockets, detail))
}

impl Connection {
    async fn serve(&mut self) -> End {
        loop {
            if let Err(end) = self.serve_one().await {
                return end;
            }
        }
    }

    /// Waits for something to be said, and answers it.
    async fn serve_one(&mut self) -> Step<()> {
        let Some(text) = self.next_text().await? else { return Ok(()) };
        let visit = match self.companions.visit(self.visitor.clone()).await {
            Ok(visit) => visit,
            Err(error @ CompanionError::NoSession) => {
                self.tell(&SocketEvent::Error { message: error.to_string() }).await?;
                return Err(End::Close { code: close_code::POLICY, reason: "Session not found" });
            }
            Err(error) => return self.fail(error).await,
        };
        match self.begun(&visit, Message::saying(text)).await? {
            Some(Ok(answering)) => self.answer(answering).await,
            Some(Err(error)) => self.fail(error).await,
            None => self.tell_stopped(String::new()).await,
        }
    }

    /// The answer, when it is its turn; `None` where the client stopped it before.
    async fn begun(
        &mut self,
        visit: &Visit,
        message: Message,
    ) -> Step<Option<Result<Answering, CompanionError>>> {
        let companions = self.companions.clone();
        let mut beginning = pin!(companions.say_in_visit(self.client.clone(), visit, message));
        loop {
            tokio::select! {
                begun = &mut beginning => return Ok(Some(begun)),
                () = self.lifecycle.hard_stop.cancelled() => return Err(STOPPING),
                frame = next(&mut self.socket) => {
                    if self.is_stop(&frame?).await? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Whether this, which came before the answer was whole, ends it.
    async fn is_stop(&mut self, frame: &Frame) -> Step<bool> {
        const BUSY: &str = "an answer is being written; wait for it, or send {\"type\": \"stop\"}";
        match read(frame) {
            Read::Stop => return Ok(true),
            Read::Said(_) => self.tell(&SocketEvent::Error { message: BUSY.to_owned() }).await?,
            Read::Wrong(message) => self.tell(&SocketEvent::Error { message }).await?,
            Read::Nothing => {}
        }
        Ok(false)
    }

    async fn tell_stopped(&mut self, response: String) -> Step<()> {
        let event = SocketEvent::Complete { response, stopped: Some(true), tokens_used: None };
        self.tell(&event).await
    }

    /// What the client says next; `None` where that was something else.
    async fn next_text(&mut self) -> Step<Option<String>> {
        let frame = tokio::select! {
            frame = next(&mut self.socket) => frame?,
            () = self.lifecycle.closing.cancelled() => return Err(STOPPING),
        };
        match read(&frame) {
            Read::Said(text) => Ok(Some(text)),
            // There is nothing to stop.
            Read::Stop | Read::Nothing => Ok(None),
            Read::Wrong(message) => {
                self.tell(&SocketEvent::Error { message }).await?;
                Ok(None)
            }
        }
    }

    /// Tells the answer as it is spoken. Dropping it stops the model.
    async fn answer(&mut self, mut answering: Answering) -> Step<()> {
        let mut so_far = String::new();
        loop {
            tokio::select! {
                telling = answering.next() => match telling {
                    Some(Telling::Text(content)) => {
                        so_far.push_str(&content);
                        self.tell(&SocketEvent::Chunk { content }).await?;
                    }
                    Some(Telling::Done(reply)) => {
                        let usage = &reply.usage;
                        let used = usage.prompt_tokens.get() + usage.completion_tokens.get();
                        let (stopped, tokens_used) = (None, Some(used));
                        let response = reply.response;
                        return self.tell(&SocketEvent::Complete { response, stopped, tokens_used }).await;
                    }
                    Some(Telling::Failed(error)) => return self.fail(error.into()).await,
                    None => return Ok(()),
                },
                () = self.lifecycle.hard_stop.cancelled() => return Err(STOPPING),
                frame = next(&mut self.socket) => {
                    if self.is_stop(&frame?).await? {
                        drop(answering);
                        return self.tell_stopped(so_far).await;
                    }
                }
            }
        }
    }

    /// Tells what went wrong. A fault of the server's ends the connection; what the client can mend,
    /// or what passes, doesn't.
    async fn fail(&mut self, error: CompanionError) -> Step<()> {
        let error = ApiError::from(error);
        error.record("a WebSocket", None, &self.metrics);
        let is_ours = error.code.status().as_u16() == 500;
        self.tell(&SocketEvent::Error { message: error.detail }).await?;
        if is_ours {
            return Err(End::Close { code: close_code::ERROR, reason: "the server failed" });
        }
        Ok(())
    }

    async fn tell(&mut self, event: &SocketEvent) -> Step<()> {
        // The types are ours and have only string keys, so they can be written as JSON.
        let text = serde_json::to_string(event).unwrap_or_default();
        match timeout(PATIENCE, self.socket.send(Frame::Text(text.into()))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }

    async fn end(mut self, end: End) {
        let End::Close { code, reason } = end else { return };
        let frame = Frame::Close(Some(CloseFrame { code, reason: reason.into() }));
        let _ = timeout(PATIENCE, self.socket.send(frame)).await;
        // The client says goodbye, too; without that it may never see the reason.
        let farewell = async { while self.socket.recv().await.is_some_and(|it| it.is_ok()) {} };
        let _ = timeout(FAREWELL, farewell).await;
    }
}

/// The longest that a client is waited for that was told goodbye.
const FAREWELL: Duration = Duration::from_millis(500);

/// The next frame that isn't about the connection itself. Whoever is silent is pinged meanwhile. May be
/// dropped at any time: no frame is lost.
async fn next(socket: &mut WebSocket) -> Step<Frame> {
    let mut pings = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut unanswered = 0;
    loop {
        tokio::select! {
            frame = socket.recv() => match frame {
                Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => unanswered = 0,
                Some(Ok(Frame::Close(_))) | None => return Err(End::Gone),
                Some(Ok(frame)) => return Ok(frame),
                Some(Err(error)) => return Err(refused(&error)),
            },
            _ = pings.tick() => {
                if unanswered == 2 {
                    return Err(End::Gone);
                }
                unanswered += 1;
                let sent = timeout(PATIENCE, socket.send(Frame::Ping(Bytes::new()))).await;
                if !matches!(sent, Ok(Ok(()))) {
                    return Err(End::Gone);
                }
            }
        }
    }
}

/// What a frame that can't be read ends the connection with.
fn refused(error: &axum::Error) -> End {
    if error.to_string().contains("too long") || error.to_string().contains("too large") {
        return End::Close { code: close_code::SIZE, reason: "a message has 32 KiB at most" };
    }
    End::Gone
}

/// What a client's frame comes to.
enum Read {
    Said(String),
    Stop,
    Wrong(String),
    Nothing,
}

fn read(frame: &Frame) -> Read {
    const SHAPE: &str = "send {\"text\": \"…\"}, or {\"type\": \"stop\"} to end an answer";
    let bytes: &[u8] = match frame {
        Frame::Text(text) => text.as_bytes(),
        Frame::Binary(bytes) => bytes,
        Frame::Ping(_) | Frame::Pong(_) | Frame::Close(_) => return Read::Nothing,
    };
    match serde_json::from_slice::<SocketMessage>(bytes) {
        Ok(SocketMessage { kind: Some(kind), .. }) if kind == "stop" => Read::Stop,
        Ok(SocketMessage { text: Some(text), .. }) if !text.trim().is_empty() => Read::Said(text),
        Ok(_) => Read::Wrong(format!("there is no text; {SHAPE}")),
        Err(error) => Read::Wrong(format!("{error}; {SHAPE}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_sockets_are_open_at_once_and_a_closed_one_makes_room() {
        let lifecycle = Lifecycle::default();
        let mut open: Vec<_> = (0..MOST_SOCKETS).map(|_| a_place(&lifecycle).unwrap()).collect();
        for _ in 0..2 {
            let refused = a_place(&lifecycle).map(drop).unwrap_err();
            assert_eq!(refused.code.status().as_u16(), 503);
        }
        open.pop();
        assert!(a_place(&lifecycle).is_ok());
    }
}
