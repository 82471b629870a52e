//! Views that turn out to be damaged are made anew from the log without being told to, while the archive serves.

use std::sync::{Arc, Weak};

use super::OpenError;
use super::follower::Follower;

/// Views that are damaged time and again lie on a disk that fails: from then on it is the operator's, whom `/readyz` and
/// `yingku status` tell.
const MENDED_AT_MOST: u32 = 3;

/// Waits for damage, as long as there is an archive.
pub(super) fn start(follower: &Arc<Follower>) {
    let follower = Arc::downgrade(follower);
    tokio::spawn(async move {
        for _ in 0..MENDED_AT_MOST {
            let Some(damaged) = wait_for_damage(&follower).await else {
                return;
            };
            let mut replaced = damaged.shared.replaced.subscribe();
            if let Err(error) = make_anew(&damaged).await {
                tracing::error!(%error, "damaged views could not be made anew; see to the disk, then run `yingku rebuild`");
                drop(damaged);
                if replaced.changed().await.is_err() {
                    return;
                }
            }
        }
        tracing::error!("views were damaged {MENDED_AT_MOST} times; see to the disk");
    });
}

/// `None`: the archive is gone.
async fn wait_for_damage(follower: &Weak<Follower>) -> Option<Arc<Follower>> {
    loop {
        // Nothing that is waited on keeps the archive, or views that were replaced.
        let (mut damage, mut replaced) = {
            let follower = follower.upgrade()?;
            let replaced = follower.shared.replaced.subscribe();
            let damage = follower.shared.views.read().damage();
            (damage, replaced)
        };
        tokio::select! {
            damaged = damage.wait_for(Option::is_some) => {
                if damaged.is_ok() {
                    return follower.upgrade();
                }
            }
            changed = replaced.changed() => changed.ok()?,
        }
    }
}

/// Returns once views made from the log are in place of the damaged ones.
pub(super) async fn make_anew(follower: &Arc<Follower>) -> Result<(), OpenError> {
    let damage = follower.damage();
    tracing::error!(
        damage = damage.as_deref().unwrap_or_default(),
        "views are damaged and made anew from the log"
    );
    let follower = Arc::clone(follower);
    let rebuilt = tokio::task::spawn_blocking(move || follower.rebuild()).await;
    match rebuilt {
        Ok(Ok(report)) => {
            tracing::info!(records = report.records, "the views are whole again");
            Ok(())
        }
        Ok(Err(error)) => Err(OpenError::Follow(error.into())),
        Err(error) => Err(OpenError::Follow(error.into())),
    }
}
