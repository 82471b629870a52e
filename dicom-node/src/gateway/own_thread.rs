//! A thread of its own for what fetches a study, for the same reason as for an association that comes in (`server.rs`): the
//! sender waits for the answer to each image.

use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// How long a thread that read views or packs waits for more of that.
const READER_KEPT: Duration = Duration::from_secs(1);

/// Does something on a thread with a runtime that nothing else uses. If this is dropped, the work is dropped there too.
///
/// `None`: there was no thread for it, or it ended before its work did.
pub async fn on_own_thread<T, F>(name: &str, work: impl FnOnce() -> F + Send + 'static) -> Option<T>
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    let given_up = CancellationToken::new();
    let _guard = given_up.clone().drop_guard();
    let (done, outcome) = oneshot::channel();
    let run = move || {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .thread_keep_alive(READER_KEPT)
            .build()
            .ok()?;
        runtime.block_on(async move {
            tokio::select! {
                () = given_up.cancelled() => None,
                outcome = work() => done.send(outcome).ok(),
            }
        })
    };
    let own = thread::Builder::new().name(name.to_owned()).spawn(run);
    if let Err(error) = own {
        tracing::warn!(%error, "there is no thread to fetch a study");
        return None;
    }
    outcome.await.ok()
}
