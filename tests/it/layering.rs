//! Dependencies point down (the map in ARCHITECTURE.md): root → {dicom-node, api} → {indexer, storage} → core; api → rendering.

use std::collections::BTreeSet;
use std::path::Path;

fn manifest(folder: &str) -> toml::Table {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(folder)
        .join("Cargo.toml");
    toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Everything that a crate's own code may name; what only its tests use is not held against it.
fn dependencies(folder: &str) -> BTreeSet<String> {
    let manifest = manifest(folder);
    ["dependencies", "build-dependencies"]
        .iter()
        .filter_map(|kind| manifest.get(*kind)?.as_table())
        .flat_map(|table| table.keys().cloned())
        .collect()
}

fn crates() -> Vec<String> {
    let members = manifest("")["workspace"]["members"]
        .as_array()
        .unwrap()
        .clone();
    let mut folders: Vec<String> = members
        .iter()
        .map(|it| it.as_str().unwrap().to_owned())
        .collect();
    folders.push(String::new());
    folders
}

#[test]
fn what_is_hard_to_replace_is_named_in_one_crate_only() {
    let owners = [
        ("dicom-ul", "dicom-node"),
        ("rocksdb", "storage"),
        ("rdkafka", "storage"),
        ("object_store", "storage"),
        ("tantivy", "indexer"),
        ("dicom-pixeldata", "rendering"),
        ("jpeg-encoder", "rendering"),
        ("axum", "api"),
        ("hyper", "api"),
        // not hard to replace, but for one old wire only
        ("ecb", "core"),
    ];
    for folder in crates() {
        let found = dependencies(&folder);
        for (dependency, owner) in owners {
            assert!(
                folder == owner || !found.contains(dependency),
                "{folder:?} must not use {dependency}: only {owner} does"
            );
        }
    }
    // and those that exist are really there, so that this test looks at the right files
    assert!(dependencies("dicom-node").contains("dicom-ul"));
    assert!(dependencies("storage").contains("rocksdb"));
    assert!(dependencies("storage").contains("object_store"));
}

#[test]
fn edges_do_not_know_each_other_and_nothing_points_up() {
    let forbidden = [
        (
            "core",
            &[
                "yingku-storage",
                "yingku-rendering",
                "yingku-dicom-node",
                "yingku-api",
                "tokio",
            ][..],
        ),
        (
            "storage",
            &["yingku-dicom-node", "yingku-api", "yingku-rendering"],
        ),
        // What decodes pictures of strangers knows nothing of the archive.
        (
            "rendering",
            &[
                "yingku-core",
                "yingku-storage",
                "yingku-dicom-node",
                "yingku-api",
            ],
        ),
        ("dicom-node", &["yingku-api", "yingku-rendering"]),
        ("api", &["yingku-dicom-node"]),
    ];
    for (folder, names) in forbidden {
        let found = dependencies(folder);
        for name in names {
            assert!(!found.contains(*name), "{folder} must not use {name}");
        }
    }
}
