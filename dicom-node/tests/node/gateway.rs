//! Fetching from a gateway: one that says all, one that says little, and ones that are broken or mean harm.

use std::sync::Arc;

use bytes::Bytes;
use dicom_dictionary_std::tags;
use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use yingku_core::ids::StudyUid;
use yingku_dicom_node::association::{Association, AssociationError, Event, Peer};
use yingku_dicom_node::dataset::{DataSetWriter, IDENTIFIER_LIMIT, Identifier};
use yingku_dicom_node::door::{OpenDoor, PlacesPerAe};
use yingku_dicom_node::gateway::{Depth, Found, Gateway, GatewayError};
use yingku_dicom_node::message::{Command, Suboperations};
use yingku_dicom_node::scu::{ScuError, Whole, send_instance};
use yingku_dicom_node::server::{Node, NodeConfig, QueryRetrieve, Services};
use yingku_dicom_node::status::Status;
use yingku_dicom_node::text::{CharacterSet, Undeclared};

use crate::own_peer::outgoing;
use crate::support::{CT, EXPLICIT, Shelf, ct, sop_instance};

const STUDY: &str = "1.2.826.0.1.3680043.8.498.1";

/// How a gateway is.
#[derive(Clone, Copy, Default)]
struct Manner {
    /// Tells the count and the classes of a study.
    tells: bool,
    /// Tells how many instances a series has.
    counts_series: bool,
    /// Answers for another study than the one it was asked for.
    misses: bool,
    /// C-FIND is refused.
    finds_nothing: bool,
    /// Breaks off after so many images.
    breaks_after: Option<usize>,
    /// Answers and answers, to queries and retrievals alike.
    is_endless: bool,
    /// Says so many instances of each of two series.
    claims: Option<u32>,
    images: usize,
}

struct Fake(Manner);

impl Fake {
    fn answers(&self, asked: &Identifier) -> Vec<DataSetWriter> {
        let study = if self.0.misses { "1.2.3" } else { STUDY };
        let answer = || {
            let mut row = DataSetWriter::new();
            row.put(tags::STUDY_INSTANCE_UID, study);
            row
        };
        let with = |pairs: &[(dicom_core::Tag, String)]| {
            let mut row = answer();
            for (tag, value) in pairs {
                row.put(*tag, value.clone());
            }
            row
        };
        let count = self.0.images.to_string();
        match asked.get(tags::QUERY_RETRIEVE_LEVEL).map(str::trim) {
            Some("STUDY") if self.0.tells => vec![with(&[
                (tags::NUMBER_OF_STUDY_RELATED_INSTANCES, count),
                (tags::SOP_CLASSES_IN_STUDY, CT.to_owned()),
            ])],
            Some("STUDY") => vec![answer()],
            Some("SERIES") if let Some(claimed) = self.0.claims => {
                let count = (
                    tags::NUMBER_OF_SERIES_RELATED_INSTANCES,
                    claimed.to_string(),
                );
                let series = |at| (tags::SERIES_INSTANCE_UID, format!("{STUDY}.{at}"));
                vec![with(&[series(1), count.clone()]), with(&[series(2), count])]
            }
            Some("SERIES") => {
                let series = (tags::SERIES_INSTANCE_UID, format!("{STUDY}.1"));
                let count = (tags::NUMBER_OF_SERIES_RELATED_INSTANCES, count);
                match self.0.counts_series {
                    true => vec![with(&[series, count])],
                    false => vec![with(&[series])],
                }
            }
            _ => {
                let images = (0..self.0.images).map(|number| {
                    with(&[
                        (tags::SOP_CLASS_UID, CT.to_owned()),
                        (tags::SOP_INSTANCE_UID, sop_instance(number)),
                    ])
                });
                images.collect()
            }
        }
    }
}

impl QueryRetrieve for Fake {
    fn find<'a>(
        &'a self,
        association: &'a mut Association,
        context: u8,
        request: &'a Command,
    ) -> BoxFuture<'a, Result<(), AssociationError>> {
        Box::pin(async move {
            let keys = association.read_data_set("keys", IDENTIFIER_LIMIT).await?;
            if self.0.finds_nothing {
                let refused = request.response(Status(0xA700)).with_comment("no room");
                return association.send(context, &refused).await;
            }
            let syntax = association.context(context)?.transfer_syntax.to_string();
            let asked = Identifier::decode(&keys, &syntax, Undeclared::default()).unwrap();
            let rows = self.answers(&asked);
            let again = if self.0.is_endless { usize::MAX } else { 1 };
            for row in rows.iter().cycle().take(rows.len().saturating_mul(again)) {
                let answer = request.response(Status::PENDING).with_data_set();
                let row = row.encode(&syntax, &CharacterSet::utf8());
                association.send_with(context, &answer, &row).await?;
            }
            let last = request.response(Status::SUCCESS);
            association.send(context, &last).await
        })
    }

    fn procedure_step<'a>(
        &'a self,
        association: &'a mut Association,
        context: u8,
        request: &'a Command,
    ) -> BoxFuture<'a, Result<(), AssociationError>> {
        // No gateway is told of steps by whoever fetches from it.
        Box::pin(async move {
            association.discard_data_set().await?;
            let refused = request.response(Status::NOT_AUTHORISED);
            association.send(context, &refused).await
        })
    }

    fn retrieve_by_move<'a>(
        &'a self,
        association: &'a mut Association,
        context: u8,
        request: &'a Command,
    ) -> BoxFuture<'a, Result<(), AssociationError>> {
        Box::pin(async move {
            association.discard_data_set().await?;
            let status = match request.move_destination.as_deref() {
                Some("YINGKU") => Status::SUCCESS,
                _ => Status::MOVE_DESTINATION_UNKNOWN,
            };
            association.send(context, &request.response(status)).await
        })
    }

    fn retrieve_by_get<'a>(
        &'a self,
        association: &'a mut Association,
        context: u8,
        request: &'a Command,
    ) -> BoxFuture<'a, Result<(), AssociationError>> {
        Box::pin(async move {
            association.discard_data_set().await?;
            let agreed = association.contexts().iter();
            let to = agreed.clone().find(|it| {
                it.peer_is_scp && *it.abstract_syntax == *CT && *it.transfer_syntax == *EXPLICIT
            });
            let to = to.map(|it| it.id).unwrap();
            let mut counts = Suboperations::default();
            if self.0.is_endless {
                loop {
                    let pending = request.response(Status::PENDING);
                    let pending = pending.with_suboperations(counts, true);
                    association.send(context, &pending).await?;
                }
            }
            for number in 0..self.0.images {
                if self.0.breaks_after == Some(number) {
                    return Err(AssociationError::Unexpected("end of the test's patience"));
                }
                let mut source = Whole(Some(Bytes::from(ct(number, 100_000))));
                send_instance(association, to, 900, &outgoing(number), &mut source)
                    .await
                    .unwrap();
                match association.next_response().await? {
                    Event::Command { command, .. } if command.status == Some(Status::SUCCESS) => {
                        counts.completed += 1;
                    }
                    _ => counts.failed += 1,
                }
            }
            let last = request.response(Status::SUCCESS);
            let last = last.with_suboperations(counts, false);
            association.send(context, &last).await
        })
    }

    fn ending<'a>(&'a self, _: &'a Peer) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// A gateway that runs.
struct Served {
    gateway: Gateway,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Served {
    async fn start(manner: Manner) -> Self {
        let services = Services {
            gatekeeper: Arc::new(OpenDoor {
                called: Some("GATE".into()),
                places: PlacesPerAe::new(10),
            }),
            store: Arc::new(Shelf::default()),
            query: Some(Arc::new(Fake(manner))),
        };
        let address = "127.0.0.1:0".parse().unwrap();
        let node = Node::bind(address, NodeConfig::default(), services).await;
        let node = node.unwrap();
        let gateway = gateway(&node.local_address().unwrap().to_string());
        let stop = CancellationToken::new();
        let task = tokio::spawn(node.run(stop.clone()));
        Self {
            gateway,
            stop,
            task,
        }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

fn gateway(address: &str) -> Gateway {
    Gateway {
        called: "GATE".to_owned(),
        calling: "YINGKU".to_owned(),
        address: address.to_owned(),
        bandwidth: None,
    }
}

fn study() -> StudyUid {
    StudyUid::new(STUDY).unwrap()
}

fn found(instances: u32) -> Found {
    Found {
        instances: Some(instances),
        classes: [CT.to_owned()].into(),
    }
}

#[tokio::test]
async fn what_a_gateway_has_is_learned_at_the_level_at_which_it_says_so() {
    for (tells, counts_series) in [(true, false), (false, true), (false, false)] {
        let manner = Manner {
            tells,
            counts_series,
            images: 7,
            ..Manner::default()
        };
        let served = Served::start(manner).await;
        assert_eq!(
            served.gateway.look(&study(), Depth::Count).await.unwrap(),
            found(7)
        );
        served.stop().await;
    }
}

#[tokio::test]
async fn a_gateway_that_answers_for_another_study_has_nothing_of_this_one() {
    let manner = Manner {
        tells: true,
        misses: true,
        images: 7,
        ..Manner::default()
    };
    let served = Served::start(manner).await;
    let found = served.gateway.look(&study(), Depth::Count).await.unwrap();
    assert_eq!(found.instances, Some(0));
    served.stop().await;
}

#[tokio::test]
async fn a_refusal_is_told_with_the_gateways_words() {
    let manner = Manner {
        finds_nothing: true,
        ..Manner::default()
    };
    let served = Served::start(manner).await;
    let error = served
        .gateway
        .look(&study(), Depth::Count)
        .await
        .unwrap_err();
    let GatewayError::Refused { comment, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(comment, "no room");
    // Its words may name a patient: they are in no error text, which logs may show.
    let said = error.to_string();
    assert_eq!(said, "C-FIND: 0xa700");
    served.stop().await;
}

#[tokio::test]
async fn images_of_a_get_arrive_byte_for_byte_whether_the_classes_are_known_or_not() {
    let manner = Manner {
        images: 5,
        ..Manner::default()
    };
    let served = Served::start(manner).await;
    for known in [found(5), Found::default()] {
        let shelf = Shelf::default();
        let fetched = served
            .gateway
            .get(&study(), &known, &shelf, Undeclared::default())
            .await
            .unwrap();
        assert_eq!(fetched.status, Status::SUCCESS);
        assert_eq!(fetched.counts.completed, 5);
        let kept = shelf.kept.lock().unwrap();
        let bytes: Vec<_> = kept.iter().map(|it| it.data_set.clone()).collect();
        let sent: Vec<_> = (0..5).map(|number| ct(number, 100_000)).collect();
        assert!(bytes == sent);
    }
    served.stop().await;
}

#[tokio::test]
async fn what_came_before_an_association_broke_off_is_kept() {
    let manner = Manner {
        images: 5,
        breaks_after: Some(3),
        ..Manner::default()
    };
    let served = Served::start(manner).await;
    let shelf = Shelf::default();
    let fetched = served
        .gateway
        .get(&study(), &found(5), &shelf, Undeclared::default())
        .await;
    assert!(matches!(fetched, Err(GatewayError::Broken(_))));
    assert_eq!(shelf.kept.lock().unwrap().len(), 3);
    served.stop().await;
}

#[tokio::test]
async fn counts_that_no_study_has_are_not_believed_and_do_not_run_over() {
    // Twice 2^31 is 0 in 32 bits: a study that is not there.
    for claims in [1 << 31, u32::MAX, 900_000] {
        let manner = Manner {
            claims: Some(claims),
            images: 3,
            ..Manner::default()
        };
        let served = Served::start(manner).await;
        let found = served.gateway.look(&study(), Depth::Count).await.unwrap();
        assert_eq!(found.instances, Some(6), "{claims}");
        served.stop().await;
    }
}

#[tokio::test]
async fn a_gateway_that_does_not_come_to_an_end_is_left() {
    let manner = Manner {
        tells: true,
        images: 1,
        is_endless: true,
        ..Manner::default()
    };
    let served = Served::start(manner).await;
    let looked = served.gateway.look(&study(), Depth::Classes).await;
    assert!(matches!(
        looked,
        Err(GatewayError::Broken(ScuError::Endless))
    ));
    let shelf = Shelf::default();
    let fetched = served
        .gateway
        .get(&study(), &found(1), &shelf, Undeclared::default())
        .await;
    assert!(matches!(
        fetched,
        Err(GatewayError::Broken(ScuError::Endless))
    ));
    served.stop().await;
}

#[tokio::test]
async fn no_more_is_asked_than_is_wanted_to_be_known() {
    let manner = Manner {
        images: 200,
        ..Manner::default()
    };
    let served = Served::start(manner).await;
    let look = |depth| {
        let gateway = served.gateway.clone();
        async move { gateway.look(&study(), depth).await.unwrap() }
    };
    let (presence, classes) = (look(Depth::Presence).await, look(Depth::Classes).await);
    assert_eq!(presence, Found::default());
    assert_eq!((classes.instances, classes.classes.len()), (None, 1));
    assert_eq!(look(Depth::Count).await, found(200));
    served.stop().await;
}

#[tokio::test]
async fn a_gateway_is_told_where_to_move_a_study() {
    let served = Served::start(Manner::default()).await;
    let moved = served.gateway.move_to(&study(), "YINGKU").await.unwrap();
    assert_eq!(moved.status, Status::SUCCESS);
    let moved = served.gateway.move_to(&study(), "NOBODY").await.unwrap();
    assert_eq!(moved.status, Status::MOVE_DESTINATION_UNKNOWN);
    served.stop().await;
}

#[tokio::test]
async fn nobody_at_the_address_is_an_unreached_gateway() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let looked = gateway(&address).look(&study(), Depth::Count).await;
    assert!(matches!(looked, Err(GatewayError::Unreached(_))));
}

/// Answers whatever it is asked with these bytes, and hangs up.
async fn answering(bytes: Vec<u8>) -> Gateway {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = vec![0u8; 64 << 10];
        let _ = stream.read(&mut asked).await;
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
        // Until the other side has had enough.
        while stream.read(&mut asked).await.is_ok_and(|read| read > 0) {}
    });
    gateway(&address)
}

#[tokio::test]
async fn bytes_that_mean_harm_end_the_try_and_nothing_else() {
    let long = |kind: u8| [vec![kind, 0, 0xFF, 0xFF, 0xFF, 0xFF], vec![0; 4096]].concat();
    let garbage: Vec<u8> = (0..4096u32).map(|at| (at * 31 % 251) as u8).collect();
    for bytes in [
        Vec::new(),
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        // An acceptance, a P-DATA and a rejection that promise 4 GB
        long(2),
        long(4),
        long(3),
        // An acceptance that is cut short, and an abort
        vec![2, 0, 0, 0, 1, 0, 0, 1],
        vec![7, 0, 0, 0, 0, 4, 0, 0, 0, 0],
        garbage,
    ] {
        let looked = answering(bytes.clone())
            .await
            .look(&study(), Depth::Count)
            .await;
        assert!(
            matches!(looked, Err(GatewayError::Unreached(_))),
            "{:?}",
            bytes.get(..8)
        );
    }
}
