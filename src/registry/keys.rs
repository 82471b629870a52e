//! Public keys as files: what an integrator is handed (contract §2.2, R3).

use std::fs;
use std::path::Path;

use anyhow::Context;
use yingku_storage::archive::Archive;
use yingku_storage::keys::PublicKeyForms;

/// Writes `DIR/keys/<appId>.pub.pem`, `.pub.der.b64` and `.pub.xml` for every app, where missing or another's.
pub fn write_public_keys(archive: &Archive) -> anyhow::Result<()> {
    let dir = archive.dir().join("keys");
    fs::create_dir_all(&dir).with_context(|| format!("{}", dir.display()))?;
    for app in archive.registry().apps.values() {
        let forms = PublicKeyForms::of(&app.public_key)?;
        for (ending, text) in [
            ("pem", &forms.pem),
            ("der.b64", &forms.der_base64),
            ("xml", &forms.xml),
        ] {
            write(&dir, &format!("{}.pub.{ending}", app.id), text)?;
        }
    }
    Ok(())
}

fn write(dir: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let file = dir.join(name);
    if fs::read_to_string(&file).is_ok_and(|there| there == text) {
        return Ok(());
    }
    // Whole or not at all: a client may read it at any moment.
    let fresh = dir.join(format!("{name}.new"));
    fs::write(&fresh, text)
        .and_then(|()| fs::rename(&fresh, &file))
        .with_context(|| format!("{}", file.display()))
}
