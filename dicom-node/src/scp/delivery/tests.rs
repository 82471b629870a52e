//! The caller is heard while a search finds nothing.

#![allow(clippy::unwrap_used)]

use dicom_dictionary_std::uids;
use tokio::net::TcpListener;

use super::*;
use crate::association::{NegotiationPolicy, Requestor, accept};
use crate::door::{OpenDoor, PlacesPerAe};
use crate::message::Operation;
use crate::pdu::{PduError, Timeouts};
use crate::scu::service_context;
use crate::stream::TunedTcp;

const MODEL: &str = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND;
const MESSAGE: u16 = 7;

/// Both ends of an association, and the context for queries.
async fn both_ends() -> (Association, Association, u8) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let accepted = async {
        let (tcp, _) = listener.accept().await.unwrap();
        let door = OpenDoor {
            called: None,
            places: PlacesPerAe::new(1),
        };
        let stream = Box::new(TunedTcp::new(tcp).unwrap());
        let policy = NegotiationPolicy::default();
        accept(stream, None, false, &policy, &door, Timeouts::default())
            .await
            .unwrap()
    };
    let requestor = Requestor {
        calling: "TESTER".into(),
        called: "YINGKU".into(),
        contexts: vec![service_context(MODEL)],
        timeouts: Timeouts::default(),
    };
    let (accepted, caller) = tokio::join!(accepted, requestor.connect(&address));
    let caller = caller.unwrap();
    let context = caller.contexts().first().unwrap().id;
    (accepted.0, caller, context)
}

fn request() -> Command {
    Command::request(Operation::Find, MESSAGE, MODEL)
}

#[tokio::test]
async fn a_cancel_ends_a_search_that_finds_nothing() {
    // Given a search without a match yet
    let (mut association, mut caller, context) = both_ends().await;
    let (search, answers) = mpsc::channel(1);
    // When the caller cancels another request, and then this one
    for message in [MESSAGE + 1, MESSAGE] {
        let cancel = Command::cancel(message);
        caller.send(context, &cancel).await.unwrap();
    }
    let delivered = deliver(&mut association, context, &request(), answers).await;
    // Then the search is told to end
    assert_eq!(delivered.unwrap(), Delivery::Cancelled);
    assert!(search.is_closed());
}

#[tokio::test]
async fn a_search_ends_when_its_caller_is_gone() {
    let (mut association, caller, context) = both_ends().await;
    let (search, answers) = mpsc::channel(1);
    drop(caller);
    let delivered = deliver(&mut association, context, &request(), answers).await;
    let gone = matches!(
        delivered,
        Err(AssociationError::Pdu(PduError::Closed | PduError::Io(_)))
    );
    assert!(gone, "{delivered:?}");
    assert!(search.is_closed());
}

#[tokio::test]
async fn answers_without_memory_wait_until_those_before_them_are_taken() {
    let (answers, mut taken) = Answers::with(Quota::new(100, 100), "GREEDY".into());
    // Given a caller whose answers have taken the memory that it may have
    let search = tokio::task::spawn_blocking(move || {
        [80, 80, 80].map(|length| {
            assert_eq!(answers.send(vec![0; length], Status::PENDING), Walk::On);
            answers.hand_over()
        })
    });
    let first = taken.recv().await.unwrap();
    assert!(first._memory.is_some());
    // Then those that find none come one by one, and all come
    for _ in 0..2 {
        let next = taken.recv().await.unwrap();
        assert!(next._memory.is_none());
        assert!(taken.len() <= 1);
    }
    assert_eq!(search.await.unwrap(), [Walk::On; 3]);
}

#[tokio::test]
async fn answers_come_whole_and_in_order_however_many_go_together() {
    // Given answers of every size, some of them larger than what is handed over or written at once
    let (mut association, mut caller, context) = both_ends().await;
    let sizes: Vec<usize> = (0..300)
        .map(|n| if n % 50 == 7 { 100_000 } else { 2 * n })
        .collect();
    let (answers, taken) = Answers::with(Quota::new(1 << 20, 1 << 20), "TESTER".into());
    let found = sizes.clone();
    let search = tokio::task::spawn_blocking(move || {
        for size in found {
            assert_eq!(answers.send(vec![7; size], Status::PENDING), Walk::On);
        }
        answers.hand_over()
    });
    // When they are delivered
    let request = request();
    let delivered = deliver(&mut association, context, &request, taken);
    let received = async {
        let mut came = Vec::new();
        while came.len() < sizes.len() {
            let crate::association::Event::Command { .. } = caller.next_response().await.unwrap()
            else {
                panic!("no answer");
            };
            came.push(caller.read_data_set("answer", 1 << 20).await.unwrap().len());
        }
        came
    };
    let (delivered, came) = tokio::join!(delivered, received);
    // Then each comes, with all its bytes
    assert_eq!(delivered.unwrap(), Delivery::Whole);
    assert_eq!(came, sizes);
    assert_eq!(search.await.unwrap(), Walk::On);
}

#[tokio::test]
async fn what_was_found_long_ago_goes_while_nothing_else_is_found() {
    // Given an answer that waits for others
    let (answers, mut taken) = Answers::with(Quota::new(100, 100), "TESTER".into());
    let search = tokio::task::spawn_blocking(move || {
        assert_eq!(answers.send(vec![0; 8], Status::PENDING), Walk::On);
        // When the search goes on and finds nothing
        while !answers.is_unheard() {
            std::hint::spin_loop();
        }
    });
    // Then it comes
    let batch = taken.recv().await.unwrap();
    assert_eq!(batch.answers.len(), 1);
    drop(taken);
    search.await.unwrap();
}
