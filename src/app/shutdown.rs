//! The signals that end the server: the first lets open streams finish, the second doesn't.

use tokio_util::sync::CancellationToken;

/// Fires the first token on the first SIGINT or SIGTERM, the second on the next.
pub fn signals() -> std::io::Result<(CancellationToken, CancellationToken)> {
    let (stop, stop_now) = (CancellationToken::new(), CancellationToken::new());
    let (first, second) = (stop.clone(), stop_now.clone());
    let mut signals = Signals::listen()?;
    tokio::spawn(async move {
        signals.next().await;
        tracing::info!("stopping: open streams may finish; once more stops at once");
        first.cancel();
        signals.next().await;
        second.cancel();
    });
    Ok((stop, stop_now))
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        // An error means that Ctrl-C can't be heard here; then nothing stops the server but a kill.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
