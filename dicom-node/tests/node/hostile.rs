//! Peers that are broken or mean harm: each is ended, and the node goes on serving.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use dicom_dictionary_std::uids::{self, VERIFICATION};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use yingku_dicom_node::message::{Command, Operation};
use yingku_dicom_node::scu::Scu;
use yingku_dicom_node::status::Status;

use crate::own_peer::requestor;
use crate::support::{CT, EXPLICIT, Running, impatient, sop_instance};

fn item(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, 0];
    bytes.extend((body.len() as u16).to_be_bytes());
    bytes.extend(body);
    bytes
}

fn pdu(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, 0];
    bytes.extend((body.len() as u32).to_be_bytes());
    bytes.extend(body);
    bytes
}

/// An association request for CT storage, context 1.
fn associate(max_length: u32) -> Vec<u8> {
    associate_with(max_length, &[(1, CT)])
}

/// An association request for some abstract syntaxes, each with its context's identifier.
fn associate_with(max_length: u32, contexts: &[(u8, &str)]) -> Vec<u8> {
    let mut body = vec![0, 1, 0, 0];
    body.extend(b"YINGKU          HOSTILE         ");
    body.extend([0; 32]);
    body.extend(item(0x10, b"1.2.840.10008.3.1.1.1"));
    for (id, abstract_syntax) in contexts {
        let context = [
            vec![*id, 0, 0, 0],
            item(0x30, abstract_syntax.as_bytes()),
            item(0x40, EXPLICIT.as_bytes()),
        ];
        body.extend(item(0x20, &context.concat()));
    }
    body.extend(item(0x50, &item(0x51, &max_length.to_be_bytes())));
    pdu(1, &body)
}

fn data(context: u8, control: u8, fragment: &[u8]) -> Vec<u8> {
    let mut body = (fragment.len() as u32 + 2).to_be_bytes().to_vec();
    body.extend([context, control]);
    body.extend(fragment);
    pdu(4, &body)
}

fn store_command() -> Vec<u8> {
    let mut command = Command::request(Operation::Store, 1, CT).with_data_set();
    command.sop_instance = Some(sop_instance(1));
    command.encode()
}

async fn connect(node: &Running) -> TcpStream {
    TcpStream::connect(node.address).await.unwrap()
}

/// An association that is agreed on.
async fn associated(node: &Running) -> TcpStream {
    let mut stream = connect(node).await;
    stream.write_all(&associate(0)).await.unwrap();
    assert_eq!(answer(&mut stream).await.unwrap()[0], 2);
    stream
}

/// The next PDU; `None` if the node closes the connection instead.
async fn answer(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut header = [0; 6];
    stream.read_exact(&mut header).await.ok()?;
    let length = u32::from_be_bytes(header[2..].try_into().unwrap()) as usize;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some([header.to_vec(), body].concat())
}

/// The node aborts, then closes.
async fn ends(stream: &mut TcpStream) {
    let ended = tokio::time::timeout(Duration::from_secs(5), async {
        while let Some(pdu) = answer(stream).await {
            assert!([3, 7].contains(&pdu[0]), "PDU type {}", pdu[0]);
        }
    });
    ended.await.expect("the node ends the connection by itself");
}

async fn still_serves(node: Running) {
    let association = requestor("YINGKU")
        .connect(&node.address.to_string())
        .await
        .unwrap();
    let mut peer = Scu::new(association);
    assert_eq!(peer.echo().await.unwrap().status, Status::SUCCESS);
    peer.release().await.unwrap();
    node.stop().await;
}

#[tokio::test]
async fn a_pdu_over_its_limit_is_not_waited_for() {
    let node = Running::start().await;
    // given lengths that are promised and never sent, before and within an association
    let mut first = connect(&node).await;
    first
        .write_all(&[1, 0, 0xFF, 0xFF, 0xFF, 0xFF])
        .await
        .unwrap();
    ends(&mut first).await;
    let mut second = associated(&node).await;
    second
        .write_all(&[4, 0, 0x7F, 0xFF, 0xFF, 0xFF])
        .await
        .unwrap();
    ends(&mut second).await;
    let mut third = associated(&node).await;
    third.write_all(&[5, 0, 0, 0, 0xFF, 0xFF]).await.unwrap();
    ends(&mut third).await;
    still_serves(node).await;
}

/// The node breaks the association off, and says that a parameter of the request is the reason (PS3.8 §9.3.8).
async fn aborted_for_a_parameter(stream: &mut TcpStream) {
    let pdu = answer(stream).await.unwrap();
    assert_eq!((pdu[0], pdu[8], pdu[9]), (7, 2, 6));
}

#[tokio::test]
async fn a_peer_whose_pdus_are_too_small_is_told_so() {
    let node = Running::start().await;
    for max_length in [1, 5, 6, 7, 127] {
        let mut stream = connect(&node).await;
        stream.write_all(&associate(max_length)).await.unwrap();
        aborted_for_a_parameter(&mut stream).await;
    }
    let mut stream = connect(&node).await;
    stream.write_all(&associate(128)).await.unwrap();
    assert_eq!(answer(&mut stream).await.unwrap()[0], 2);
    still_serves(node).await;
}

#[tokio::test]
async fn two_presentation_contexts_of_one_identifier_are_no_request() {
    let node = Running::start().await;
    let mut stream = connect(&node).await;
    let request = associate_with(0, &[(1, CT), (1, VERIFICATION)]);
    stream.write_all(&request).await.unwrap();
    aborted_for_a_parameter(&mut stream).await;
    still_serves(node).await;
}

/// They would keep an association alive for ever, and the node busy.
#[tokio::test]
async fn a_data_pdu_with_nothing_in_it_ends_the_association() {
    let node = Running::start().await;
    let mut between = associated(&node).await;
    between.write_all(&pdu(4, &[])).await.unwrap();
    ends(&mut between).await;
    let mut within = associated(&node).await;
    within
        .write_all(&data(1, 3, &store_command()))
        .await
        .unwrap();
    within.write_all(&pdu(4, &[])).await.unwrap();
    ends(&mut within).await;
    still_serves(node).await;
}

/// PS3.7 §9.1: the service is that of the presentation context, and so is the SOP class.
#[tokio::test]
async fn a_request_on_another_services_context_is_refused() {
    let node = Running::start().await;
    let find = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND;
    let mut stream = connect(&node).await;
    let request = associate_with(0, &[(1, CT), (3, VERIFICATION), (5, find)]);
    stream.write_all(&request).await.unwrap();
    assert_eq!(answer(&mut stream).await.unwrap()[0], 2);
    let misplaced = [
        (1, Operation::Find, find),
        (1, Operation::Find, CT),
        (3, Operation::Move, find),
        (3, Operation::Store, CT),
        (5, Operation::Store, find),
        (5, Operation::Get, find),
        (1, Operation::Echo, VERIFICATION),
        (3, Operation::Echo, CT),
    ];
    for (context, operation, class) in misplaced {
        let mut command = Command::request(operation, 7, class);
        if operation != Operation::Echo {
            command = command.with_data_set();
        }
        stream
            .write_all(&data(context, 3, &command.encode()))
            .await
            .unwrap();
        if operation != Operation::Echo {
            stream.write_all(&data(context, 2, &[0; 8])).await.unwrap();
        }
        let answer = answer(&mut stream).await.unwrap();
        let response = Command::decode(&answer[12..]).unwrap();
        let words = format!("{operation} of {class} on context {context}");
        assert_eq!(
            response.status,
            Some(Status::SOP_CLASS_NOT_SUPPORTED),
            "{words}"
        );
        assert_eq!(response.message_id, 7, "{words}");
    }
    // Refused instances are told of, like any other refusal
    assert_eq!(node.shelf.refused.lock().unwrap().len(), 2);
    still_serves(node).await;
}

#[tokio::test]
async fn fragments_that_lie_about_their_length_end_the_association() {
    let node = Running::start().await;
    let longer = pdu(4, &[0xFF, 0xFF, 0xFF, 0xFF, 1, 3, 0, 0]);
    let shorter = pdu(4, &[0, 0, 0, 1, 1, 3]);
    let cut = pdu(4, &[0, 0, 0]);
    let foreign = data(99, 3, &store_command());
    let data_first = data(1, 2, &[0; 10]);
    let unknown = pdu(42, &[0; 4]);
    let again = associate(0);
    for bytes in [longer, shorter, cut, foreign, data_first, unknown, again] {
        let mut stream = associated(&node).await;
        stream.write_all(&bytes).await.unwrap();
        ends(&mut stream).await;
    }
    still_serves(node).await;
}

#[tokio::test]
async fn an_endless_command_set_ends_the_association() {
    let node = Running::start().await;
    let mut stream = associated(&node).await;
    for _ in 0..40 {
        // The node may be gone already.
        if let Err(error) = stream.write_all(&data(1, 1, &[0; 1024])).await {
            let kind = error.kind();
            assert!(matches!(
                kind,
                ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
            ));
            break;
        }
    }
    ends(&mut stream).await;
    still_serves(node).await;
}

#[tokio::test]
async fn a_4_gib_length_in_a_12_byte_header_is_refused_with_words() {
    let node = Running::start().await;
    let mut stream = associated(&node).await;
    let element = [
        0x08, 0x00, 0x18, 0x00, b'U', b'N', 0, 0, 0xF0, 0xFF, 0xFF, 0xFF, 0, 0,
    ];
    stream
        .write_all(&data(1, 3, &store_command()))
        .await
        .unwrap();
    stream.write_all(&data(1, 2, &element)).await.unwrap();
    let answer = answer(&mut stream).await.unwrap();
    let response = Command::decode(&answer[12..]).unwrap();
    assert_eq!(response.status, Some(Status::CANNOT_UNDERSTAND));
    assert!(response.error_comment.unwrap().contains("cut at byte"));
    still_serves(node).await;
}

#[tokio::test]
async fn deep_sequences_are_refused_with_words() {
    let node = Running::start().await;
    let mut stream = associated(&node).await;
    stream
        .write_all(&data(1, 3, &store_command()))
        .await
        .unwrap();
    let level = b"\x40\x00\x75\x02SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff";
    stream
        .write_all(&data(1, 2, &level.repeat(10_000)))
        .await
        .unwrap();
    let answer = answer(&mut stream).await.unwrap();
    let response = Command::decode(&answer[12..]).unwrap();
    assert_eq!(response.status, Some(Status::CANNOT_UNDERSTAND));
    assert!(response.error_comment.unwrap().contains("nested deeper"));
    still_serves(node).await;
}

/// A byte now and then keeps nobody's place: every step has a time of its own, not every read.
#[tokio::test]
async fn a_peer_that_sends_a_byte_now_and_then_is_ended() {
    let node = Running::start_with(|config| config.timeouts = impatient(), 100).await;
    let request = associate(0);
    let mut command = data(1, 3, &store_command());
    command.extend(data(1, 0, &[0; 64]));
    for bytes in [&request, &command] {
        let mut stream = if bytes == &request {
            connect(&node).await
        } else {
            associated(&node).await
        };
        let begun = Instant::now();
        let mut drip = tokio::time::interval(Duration::from_millis(50));
        for byte in bytes.iter() {
            drip.tick().await;
            if stream.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
        ends(&mut stream).await;
        assert!(begun.elapsed() < Duration::from_millis(50) * bytes.len() as u32);
    }
    still_serves(node).await;
}

#[tokio::test]
async fn silence_ends_every_step() {
    let node = Running::start_with(|config| config.timeouts = impatient(), 100).await;
    // given a connection without a request, an idle association, a command without its data set, half a PDU
    let mut connected = connect(&node).await;
    let mut idle = associated(&node).await;
    let mut waiting = associated(&node).await;
    waiting
        .write_all(&data(1, 3, &store_command()))
        .await
        .unwrap();
    let mut half = associated(&node).await;
    half.write_all(&data(1, 3, &store_command())[..20])
        .await
        .unwrap();
    for stream in [&mut connected, &mut idle, &mut waiting, &mut half] {
        ends(stream).await;
    }
    still_serves(node).await;
}

#[tokio::test]
async fn random_bytes_do_no_harm() {
    let node = Running::start_with(|config| config.timeouts = impatient(), 1000).await;
    let mut seed = 7u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let request = associate(0);
    for round in 0..300 {
        let mut stream = connect(&node).await;
        let mut bytes = request.clone();
        if round % 2 == 0 {
            bytes.extend(data(1, 3, &store_command()));
            bytes.extend(data(1, 2, &[0; 40]));
        }
        for _ in 0..1 + random() % 6 {
            let at = random() as usize % bytes.len();
            bytes[at] = random() as u8;
        }
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
        let mut sink = Vec::new();
        let _ = stream.read_to_end(&mut sink).await;
    }
    still_serves(node).await;
}

/// Whoever says nothing has not said who it is either: it may keep its own address waiting, and nobody else.
#[tokio::test]
async fn silent_connections_of_one_address_take_no_place() {
    let node = Running::start_with(|config| config.max_associations = 20, 20).await;
    // Given more connections of one address than there are places, all silent
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(connect(&node).await);
    }
    // Then others have all of the places
    let mut associations = Vec::new();
    for _ in 0..20 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let mut other = socket.connect(node.address).await.unwrap();
        other.write_all(&associate(0)).await.unwrap();
        assert_eq!(answer(&mut other).await.unwrap()[0], 2);
        associations.push(other);
    }
    drop((silent, associations));
    node.stop().await;
}

#[tokio::test]
async fn five_hundred_idle_associations_leave_room_for_work() {
    let node = Running::start_with(|_| {}, 1000).await;
    let mut idle = Vec::new();
    for _ in 0..500 {
        idle.push(associated(&node).await);
    }
    let association = requestor("YINGKU")
        .connect(&node.address.to_string())
        .await
        .unwrap();
    let mut peer = Scu::new(association);
    assert_eq!(peer.echo().await.unwrap().status, Status::SUCCESS);
    drop(idle);
    peer.release().await.unwrap();
    node.stop().await;
}
