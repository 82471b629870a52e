//! Our own requests against our own node.

use bytes::Bytes;
use yingku_dicom_node::association::{ProposedContext, RequestError, Requestor};
use yingku_dicom_node::pdu::Timeouts;
use yingku_dicom_node::scu::{Outgoing, Scu, Whole, service_context};
use yingku_dicom_node::status::Status;

use crate::support::{CT, EXPLICIT, Running, ct, sop_instance};

pub fn requestor(called: &str) -> Requestor {
    let storage = ProposedContext {
        abstract_syntax: CT.into(),
        transfer_syntaxes: vec![EXPLICIT.into()],
        we_are_scp: false,
    };
    Requestor {
        calling: "TESTER".into(),
        called: called.into(),
        contexts: vec![service_context("1.2.840.10008.1.1"), storage],
        timeouts: Timeouts::default(),
    }
}

pub fn outgoing(number: usize) -> Outgoing {
    Outgoing {
        sop_class: CT.into(),
        sop_instance: sop_instance(number),
        transfer_syntax: EXPLICIT.into(),
        move_originator: Some(("MOVER".into(), 5)),
    }
}

#[tokio::test]
async fn echo_and_store_in_one_association() {
    let node = Running::start().await;
    let association = requestor("YINGKU")
        .connect(&node.address.to_string())
        .await
        .unwrap();
    let mut peer = Scu::new(association);
    assert_eq!(peer.echo().await.unwrap().status, Status::SUCCESS);
    let data_set = ct(3, 700_000);
    let mut source = Whole(Some(Bytes::from(data_set.clone())));
    let stored = peer.store(&outgoing(3), &mut source).await.unwrap();
    assert_eq!(stored.status, Status::SUCCESS);
    peer.release().await.unwrap();
    let kept = node.kept();
    assert!(kept[0].data_set == data_set);
    assert_eq!(kept[0].announced.move_originator.as_deref(), Some("MOVER"));
    node.stop().await;
}

#[tokio::test]
async fn an_instance_that_is_refused_does_not_end_the_association() {
    let node = Running::start().await;
    let association = requestor("YINGKU")
        .connect(&node.address.to_string())
        .await
        .unwrap();
    let mut peer = Scu::new(association);
    // given an instance cut within its pixel data, and one whose command names another
    let mut cut = ct(1, 600_000);
    cut.truncate(cut.len() - 2);
    let first = peer
        .store(&outgoing(1), &mut Whole(Some(cut.into())))
        .await
        .unwrap();
    let other = peer
        .store(&outgoing(2), &mut Whole(Some(ct(9, 10).into())))
        .await
        .unwrap();
    // then both are refused with words, and the next one is stored
    assert_eq!(first.status, Status::CANNOT_UNDERSTAND);
    assert!(first.comment.contains("cut at byte"), "{}", first.comment);
    assert_eq!(other.status, Status::MISMATCH);
    let good = peer
        .store(&outgoing(4), &mut Whole(Some(ct(4, 10).into())))
        .await
        .unwrap();
    assert_eq!(good.status, Status::SUCCESS);
    peer.release().await.unwrap();
    assert_eq!(node.kept().len(), 1);
    assert_eq!(node.shelf.refused.lock().unwrap().len(), 2);
    node.stop().await;
}

#[tokio::test]
async fn a_caller_beyond_its_limit_is_told_so() {
    let node = Running::start_with(|_| {}, 2).await;
    let address = node.address.to_string();
    let first = requestor("YINGKU").connect(&address).await.unwrap();
    let second = requestor("YINGKU").connect(&address).await.unwrap();
    let third = requestor("YINGKU").connect(&address).await;
    assert!(
        matches!(&third, Err(RequestError::Rejected(words)) if words.contains("local limit")),
        "{:?}",
        third.err()
    );
    let unknown = requestor("NOBODY").connect(&address).await;
    assert!(matches!(unknown, Err(RequestError::Rejected(_))));
    drop(second);
    first.release().await.unwrap();
    node.stop().await;
}

#[tokio::test]
async fn a_full_node_says_so() {
    let node = Running::start_with(|config| config.max_associations = 1, 100).await;
    let address = node.address.to_string();
    let first = requestor("YINGKU").connect(&address).await.unwrap();
    let second = requestor("YINGKU").connect(&address).await;
    assert!(matches!(second, Err(RequestError::Rejected(_))));
    first.release().await.unwrap();
    node.stop().await;
}
