//! DICOM files on disk: found, recognised, read piece by piece.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::future::BoxFuture;
use yingku_dicom_node::part10::{FILE_META_LIMIT, FileMeta};
use yingku_dicom_node::scu::{DataSetSource, Outgoing};

/// Bytes that are read at once.
const PIECE_BYTES: usize = 256 << 10;
/// Folders within folders; deeper ones are a loop of links.
const DEPTH_LIMIT: usize = 64;

/// An instance in a file.
#[derive(Debug, Clone)]
pub struct Instance {
    pub path: PathBuf,
    pub outgoing: Outgoing,
    data_set_at: u64,
}

/// What lies below the given paths, in order of names.
#[derive(Debug, Default)]
pub struct Found {
    pub instances: Vec<Instance>,
    /// Files that are no DICOM, and why.
    pub others: Vec<(PathBuf, String)>,
}

pub fn find(paths: &[PathBuf]) -> io::Result<Found> {
    let mut found = Found::default();
    for path in paths {
        walk(path, DEPTH_LIMIT, &mut found)?;
    }
    Ok(found)
}

fn walk(path: &Path, depth: usize, found: &mut Found) -> io::Result<()> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    if !path.metadata().map_err(named)?.is_dir() {
        match recognise(path) {
            Ok(instance) => found.instances.push(instance),
            Err(words) => found.others.push((path.to_owned(), words)),
        }
        return Ok(());
    }
    if depth == 0 {
        found
            .others
            .push((path.to_owned(), format!("深于 {DEPTH_LIMIT} 层 (too deep)")));
        return Ok(());
    }
    let mut entries = path
        .read_dir()
        .and_then(|entries| {
            entries
                .map(|entry| Ok(entry?.path()))
                .collect::<io::Result<Vec<_>>>()
        })
        .map_err(named)?;
    entries.sort();
    entries
        .iter()
        .try_for_each(|entry| walk(entry, depth - 1, found))
}

fn recognise(path: &Path) -> Result<Instance, String> {
    let mut head = Vec::new();
    File::open(path)
        .and_then(|file| {
            file.take(FILE_META_LIMIT as u64 + 132)
                .read_to_end(&mut head)
        })
        .map_err(|error| error.to_string())?;
    let (meta, data_set_at) = FileMeta::decode(&head).map_err(|error| error.to_string())?;
    if meta.sop_class.is_empty() || meta.sop_instance.is_empty() {
        return Err(
            "文件头没有 SOP 类或实例 UID (no SOP class or instance UID in the head)".to_owned(),
        );
    }
    Ok(Instance {
        path: path.to_owned(),
        outgoing: Outgoing {
            sop_class: meta.sop_class,
            sop_instance: meta.sop_instance,
            transfer_syntax: meta.transfer_syntax,
            move_originator: None,
        },
        data_set_at: data_set_at as u64,
    })
}

impl Instance {
    /// The data set's bytes as they lie in the file.
    pub fn open(&self) -> io::Result<FileSource> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.data_set_at))?;
        Ok(FileSource(file))
    }
}

pub struct FileSource(File);

impl DataSetSource for FileSource {
    fn next(&mut self) -> BoxFuture<'_, io::Result<Option<Bytes>>> {
        // A local file, one association, nothing else to do meanwhile.
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let read = (&mut self.0)
            .take(PIECE_BYTES as u64)
            .read_to_end(&mut piece);
        Box::pin(std::future::ready(
            read.map(|bytes| (bytes > 0).then(|| piece.into())),
        ))
    }
}
