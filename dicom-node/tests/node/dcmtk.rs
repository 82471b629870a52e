//! DCMTK's tools as installed.

use std::ffi::OsStr;
use std::process::Output;

use tokio::process::Command;

use crate::support::{EXPLICIT, Running, ct, file};

pub async fn tool<S: AsRef<OsStr>>(name: &str, arguments: impl IntoIterator<Item = S>) -> Output {
    Command::new(name)
        .args(arguments)
        .output()
        .await
        .expect("DCMTK is installed")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn echoscu_gets_its_answer() {
    let node = Running::start().await;
    let port = node.port();
    let echo = tool("echoscu", ["-v", "-aec", "YINGKU", "127.0.0.1", &port]).await;
    assert!(
        echo.status.success(),
        "{}",
        String::from_utf8_lossy(&echo.stderr)
    );
    // Another title is not ours.
    let other = tool("echoscu", ["-aec", "OTHER", "127.0.0.1", &port]).await;
    assert!(!other.status.success());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_storescu_and_dcmsend_send_arrives_byte_for_byte() {
    // given instances of odd sizes: within one PDU, over several, over several of our own buffers
    let folder = tempfile::tempdir().unwrap();
    let sizes = [2, 1000, 130_000, 524_288, 3_000_000];
    let sent: Vec<Vec<u8>> = sizes
        .iter()
        .enumerate()
        .map(|(i, size)| ct(i, *size))
        .collect();
    for (i, data_set) in sent.iter().enumerate() {
        file(folder.path(), i, data_set);
    }
    let node = Running::start().await;
    let port = node.port();
    let path = folder.path().to_str().unwrap();
    // when
    let dcmsend = tool(
        "dcmsend",
        [
            "--scan-directories",
            "-aec",
            "YINGKU",
            "127.0.0.1",
            &port,
            path,
        ],
    )
    .await;
    let storescu = tool(
        "storescu",
        ["+sd", "-xe", "-aec", "YINGKU", "127.0.0.1", &port, path],
    )
    .await;
    // then
    assert!(
        dcmsend.status.success(),
        "{}",
        String::from_utf8_lossy(&dcmsend.stderr)
    );
    assert!(
        storescu.status.success(),
        "{}",
        String::from_utf8_lossy(&storescu.stderr)
    );
    let kept = node.kept();
    assert_eq!(kept.len(), 2 * sizes.len());
    for instance in kept {
        let number: usize = instance.arrived.facts.image.number.parse().unwrap();
        assert_eq!(instance.announced.transfer_syntax, EXPLICIT);
        assert!(
            instance.data_set == sent[number],
            "instance {number} differs"
        );
        assert_eq!(instance.arrived.length, sent[number].len() as u64);
        assert_eq!(instance.arrived.facts.patient.name, "张^小东");
        let digest = blake3::Hasher::new()
            .update(EXPLICIT.as_bytes())
            .update(&sent[number])
            .finalize();
        assert_eq!(instance.arrived.digest, *digest.as_bytes());
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_pdus_are_put_together() {
    let folder = tempfile::tempdir().unwrap();
    let data_set = ct(1, 300_000);
    let path = file(folder.path(), 1, &data_set);
    let node = Running::start().await;
    let port = node.port();
    let path = path.to_str().unwrap();
    let arguments = [
        "-xe",
        "-aec",
        "YINGKU",
        "--max-send-pdu",
        "4096",
        "-pdu",
        "4096",
        "127.0.0.1",
        &port,
        path,
    ];
    let sent = tool("storescu", arguments).await;
    assert!(
        sent.status.success(),
        "{}",
        String::from_utf8_lossy(&sent.stderr)
    );
    assert!(node.kept()[0].data_set == data_set);
    node.stop().await;
}

/// What we decode is what DCMTK decodes. (Debian builds it on glibc's iconv, which lacks ISO 2022 IR 87.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_reads_as_dcmconv_reads_it() {
    use yingku_dicom_node::part10::FileMeta;
    use yingku_dicom_node::scan::scan;
    use yingku_dicom_node::text::Undeclared;
    let folder = tempfile::tempdir().unwrap();
    let gb18030 = encoding_rs::GB18030
        .encode("診^錦衆=买买提·艾合买提")
        .0
        .into_owned();
    let cases: [(&[u8], &[u8]); 5] = [
        (b"GB18030", &gb18030),
        (b"GBK", &gb18030),
        (
            b"\\ISO 2022 IR 58",
            b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=",
        ),
        (
            b"\\ISO 2022 IR 149",
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7",
        ),
        (b"ISO_IR 100", b"M\xfcller^J\xfcrgen"),
    ];
    for (number, (charset, name)) in cases.into_iter().enumerate() {
        let whole = ct(number, 2);
        let data_set = [
            crate::support::element(8, 5, b"CS", charset),
            whole[16..].to_vec(),
        ]
        .concat();
        let old = crate::support::element(0x10, 0x10, b"PN", b"\xd5\xc5^\xd0\xa1\xb6\xab");
        let at = data_set.windows(old.len()).position(|w| w == old).unwrap();
        let new = crate::support::element(0x10, 0x10, b"PN", name);
        let data_set = [&data_set[..at], &new, &data_set[at + old.len()..]].concat();
        let ours = scan(EXPLICIT, &data_set, Undeclared::Gb18030).unwrap();
        let path = file(folder.path(), number, &data_set);
        let converted = folder.path().join("utf8.dcm");
        let conversion = tool(
            "dcmconv",
            ["+U8".as_ref(), path.as_os_str(), converted.as_os_str()],
        )
        .await;
        assert!(
            conversion.status.success(),
            "{}",
            String::from_utf8_lossy(&conversion.stderr)
        );
        let bytes = std::fs::read(&converted).unwrap();
        let (meta, start) = FileMeta::decode(&bytes).unwrap();
        let theirs = scan(&meta.transfer_syntax, &bytes[start..], Undeclared::Gb18030).unwrap();
        assert_eq!(ours.patient.name, theirs.patient.name);
        assert!(!ours.patient.name.contains(char::REPLACEMENT_CHARACTER));
    }
}
