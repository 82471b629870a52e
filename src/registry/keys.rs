//! Public keys as files: what an integrator is handed (contract §2.2).

use std::fs;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use yingku_storage::archive::Archive;
use yingku_storage::keys::public_pem;

/// Writes `DIR/keys/<appId>.pub.pem` for every app whose file is missing or another's.
pub fn write_public_keys(archive: &Archive) -> anyhow::Result<()> {
    let dir = archive.dir().join("keys");
    fs::create_dir_all(&dir).with_context(|| format!("{}", dir.display()))?;
    for app in archive.registry().apps.values() {
        let file = dir.join(format!("{}.pub.pem", app.id));
        let pem = public_pem(&STANDARD.decode(&app.public_key)?)?;
        if fs::read_to_string(&file).is_ok_and(|there| there == pem) {
            continue;
        }
        // Whole or not at all: a client may read it at any moment.
        let fresh = dir.join(format!("{}.pub.pem.new", app.id));
        fs::write(&fresh, &pem)
            .and_then(|()| fs::rename(&fresh, &file))
            .with_context(|| format!("{}", file.display()))?;
    }
    Ok(())
}
