//! What is agreed on with a caller: who may come in, which presentation contexts, which roles (PS3.7 annex D).

use std::net::SocketAddr;
use std::sync::Arc;

use dicom_core::dictionary::UidDictionary;
use dicom_dictionary_std::{StandardSopClassDictionary, uids};
use dicom_ul::pdu::{
    AssociationRJ, AssociationRJResult, AssociationRJServiceProviderASCEReason,
    AssociationRJServiceProviderPresentationReason, AssociationRJServiceUserReason,
    AssociationRJSource, AssociationRQ, PresentationContextProposed, PresentationContextResult,
    PresentationContextResultReason, UserVariableItem,
};

use super::PresentationContext;
use crate::message::Operation;
use crate::scan::{EXPLICIT_VR_BIG_ENDIAN, Encoding};

/// Root of the standard's storage SOP classes (PS3.6 annex A).
const STORAGE_ROOT: &str = "1.2.840.10008.5.1.4.1.1.";
/// Root of everything that the standard defines.
const STANDARD_ROOT: &str = "1.2.840.10008.";
/// Named for storage and none: commitment of what is stored, and the directory of a medium.
const NO_STORAGE: [&str; 3] = [
    uids::STORAGE_COMMITMENT_PUSH_MODEL,
    "1.2.840.10008.1.20.2",
    uids::MEDIA_STORAGE_DIRECTORY_STORAGE,
];
/// PS3.8 §9.3.2.2: odd identifiers from 1 to 255.
pub const CONTEXT_LIMIT: usize = 128;
/// PS3.5 §9.1
const UID_LIMIT: usize = 64;

const FIND: [&str; 3] = [
    uids::PATIENT_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND,
    uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND,
    uids::MODALITY_WORKLIST_INFORMATION_MODEL_FIND,
];
const MOVE: [&str; 2] = [
    uids::PATIENT_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_MOVE,
    uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_MOVE,
];
const GET: [&str; 2] = [
    uids::PATIENT_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_GET,
    uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_GET,
];

/// Transfer syntaxes of commands' data sets that we read and write ourselves, best first.
const OWN_SYNTAXES: [&str; 3] = [
    uids::EXPLICIT_VR_LITTLE_ENDIAN,
    uids::IMPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
];

/// Who asks for an association.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub calling: String,
    pub called: String,
    pub address: Option<SocketAddr>,
    /// The connection is encrypted.
    pub secure: bool,
}

/// Why an association is refused (PS3.8 §9.3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    CallingAeNotRecognised,
    CalledAeNotRecognised,
    ApplicationContext,
    ProtocolVersion,
    /// This caller, or the node as a whole, has as many associations as it may.
    LimitExceeded,
    Other,
}

impl Rejection {
    pub(super) fn to_pdu(self) -> AssociationRJ {
        use AssociationRJServiceProviderPresentationReason as Presentation;
        use AssociationRJServiceUserReason as User;
        let (result, source) = match self {
            Self::CallingAeNotRecognised => (
                AssociationRJResult::Permanent,
                AssociationRJSource::ServiceUser(User::CallingAETitleNotRecognized),
            ),
            Self::CalledAeNotRecognised => (
                AssociationRJResult::Permanent,
                AssociationRJSource::ServiceUser(User::CalledAETitleNotRecognized),
            ),
            Self::ApplicationContext => (
                AssociationRJResult::Permanent,
                AssociationRJSource::ServiceUser(User::ApplicationContextNameNotSupported),
            ),
            Self::ProtocolVersion => (
                AssociationRJResult::Permanent,
                AssociationRJSource::ServiceProviderASCE(
                    AssociationRJServiceProviderASCEReason::ProtocolVersionNotSupported,
                ),
            ),
            Self::LimitExceeded => (
                AssociationRJResult::Transient,
                AssociationRJSource::ServiceProviderPresentation(Presentation::LocalLimitExceeded),
            ),
            Self::Other => (
                AssociationRJResult::Permanent,
                AssociationRJSource::ServiceUser(User::NoReasonGiven),
            ),
        };
        AssociationRJ { result, source }
    }
}

/// Kept as long as the association lives; dropping it gives the caller's place back.
pub type Admission = Box<dyn Send + Sync>;

/// Decides who may open an association: AE titles, addresses, numbers.
pub trait Gatekeeper: Send + Sync {
    fn admit(&self, caller: &Caller) -> Result<Admission, Rejection>;
}

/// Which presentation contexts are accepted.
#[derive(Debug, Clone)]
pub struct NegotiationPolicy {
    /// Also accept storage under abstract syntaxes that the standard does not define: vendors' private SOP classes.
    pub accept_private_storage: bool,
}

impl Default for NegotiationPolicy {
    fn default() -> Self {
        Self {
            accept_private_storage: true,
        }
    }
}

impl NegotiationPolicy {
    pub fn is_storage(&self, abstract_syntax: &str) -> bool {
        if abstract_syntax.starts_with(STANDARD_ROOT) {
            is_standard_storage(abstract_syntax)
        } else {
            self.accept_private_storage && is_uid(abstract_syntax)
        }
    }

    /// Whether requests of this operation belong on a context of this abstract syntax.
    pub fn serves(&self, operation: Operation, abstract_syntax: &str) -> bool {
        match operation {
            Operation::Echo => abstract_syntax == uids::VERIFICATION,
            Operation::Store => self.is_storage(abstract_syntax),
            Operation::Find => FIND.contains(&abstract_syntax),
            Operation::Move => MOVE.contains(&abstract_syntax),
            Operation::Get => GET.contains(&abstract_syntax),
            Operation::Create | Operation::Set => {
                abstract_syntax == uids::MODALITY_PERFORMED_PROCEDURE_STEP
            }
            Operation::Cancel | Operation::Other(_) => true,
        }
    }

    /// The transfer syntax to use, or why there is none.
    fn choose(
        &self,
        proposed: &PresentationContextProposed,
        for_retrieval: bool,
    ) -> Result<Arc<str>, PresentationContextResultReason> {
        let abstract_syntax = plain_uid(&proposed.abstract_syntax);
        let offered = || proposed.transfer_syntaxes.iter().map(|uid| plain_uid(uid));
        let chosen = if for_retrieval && self.is_storage(abstract_syntax) {
            // We will send: the caller's first choice is how it wants the instance. Next to nothing is stored in the
            // two that come last.
            let rare = |uid: &str| uid == EXPLICIT_VR_BIG_ENDIAN || Encoding::is_deflated(uid);
            offered()
                .find(|uid| is_uid(uid) && !rare(uid))
                .or_else(|| offered().find(|uid| is_uid(uid)))
        } else if self.is_storage(abstract_syntax) {
            // The sender's first choice is how it has the instance: bytes that come are bytes that leave.
            offered().find(|uid| is_uid(uid))
        } else if [uids::VERIFICATION, uids::MODALITY_PERFORMED_PROCEDURE_STEP]
            .contains(&abstract_syntax)
            || [&FIND[..], &MOVE, &GET].concat().contains(&abstract_syntax)
        {
            OWN_SYNTAXES
                .into_iter()
                .find(|own| offered().any(|uid| uid == *own))
        } else {
            return Err(PresentationContextResultReason::AbstractSyntaxNotSupported);
        };
        chosen
            .map(Arc::from)
            .ok_or(PresentationContextResultReason::TransferSyntaxesNotSupported)
    }
}

/// Whether the standard's storage SOP classes hold it, retired ones too. A class that is newer than our table is
/// storage if it lies below their root.
fn is_standard_storage(abstract_syntax: &str) -> bool {
    match StandardSopClassDictionary.by_uid(abstract_syntax) {
        // Below that root there are queries too, and outside it there is storage.
        Some(class) => class.alias.contains("Storage") && !NO_STORAGE.contains(&class.uid),
        None => abstract_syntax.starts_with(STORAGE_ROOT) && is_uid(abstract_syntax),
    }
}

pub(super) fn plain_uid(uid: &str) -> &str {
    uid.trim_matches(|c: char| c == '\0' || c.is_whitespace())
}

fn is_uid(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= UID_LIMIT
        && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// The outcome: our answer, and what holds from now on.
pub(super) struct Negotiated {
    pub answers: Vec<PresentationContextResult>,
    pub contexts: Vec<PresentationContext>,
    pub roles: Vec<UserVariableItem>,
}

pub(super) fn negotiate(policy: &NegotiationPolicy, request: &AssociationRQ) -> Negotiated {
    let mut outcome = Negotiated {
        answers: Vec::new(),
        contexts: Vec::new(),
        roles: accepted_roles(policy, request),
    };
    for proposed in request.presentation_contexts.iter().take(CONTEXT_LIMIT) {
        let abstract_syntax = plain_uid(&proposed.abstract_syntax);
        let chosen = if proposed.id % 2 == 0 {
            Err(PresentationContextResultReason::NoReason)
        } else {
            policy.choose(proposed, takes_store(&outcome.roles, abstract_syntax))
        };
        match chosen {
            Ok(transfer_syntax) => {
                outcome.answers.push(PresentationContextResult {
                    id: proposed.id,
                    reason: PresentationContextResultReason::Acceptance,
                    transfer_syntax: transfer_syntax.to_string(),
                });
                outcome.contexts.push(PresentationContext {
                    id: proposed.id,
                    abstract_syntax: abstract_syntax.into(),
                    transfer_syntax,
                    peer_is_scp: takes_store(&outcome.roles, abstract_syntax),
                });
            }
            Err(reason) => outcome.answers.push(PresentationContextResult {
                id: proposed.id,
                reason,
                // Not significant, but it must be there (PS3.8 §9.3.3.2).
                transfer_syntax: uids::IMPLICIT_VR_LITTLE_ENDIAN.to_owned(),
            }),
        }
    }
    outcome
}

/// Roles are agreed to as proposed for storage classes; all others keep the default roles.
fn accepted_roles(policy: &NegotiationPolicy, request: &AssociationRQ) -> Vec<UserVariableItem> {
    request
        .user_variables
        .iter()
        .filter_map(|item| match item {
            UserVariableItem::ScuScpRoleSelectionSubItem(class, roles)
                if policy.is_storage(plain_uid(class)) =>
            {
                let class = plain_uid(class).to_owned();
                Some(UserVariableItem::ScuScpRoleSelectionSubItem(class, *roles))
            }
            _ => None,
        })
        .take(CONTEXT_LIMIT)
        .collect()
}

pub(super) fn takes_store(roles: &[UserVariableItem], abstract_syntax: &str) -> bool {
    roles.iter().any(|item| {
        matches!(item, UserVariableItem::ScuScpRoleSelectionSubItem(class, roles)
            if plain_uid(class) == abstract_syntax && roles.scp)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use super::*;

    fn proposed(id: u8, class: &str, syntaxes: &[&str]) -> PresentationContextProposed {
        PresentationContextProposed {
            id,
            abstract_syntax: class.to_owned(),
            transfer_syntaxes: syntaxes.iter().map(|s| s.to_string()).collect(),
        }
    }

    #[test]
    fn storage_keeps_the_first_syntax_and_queries_prefer_explicit() {
        let policy = NegotiationPolicy::default();
        let jpeg = "1.2.840.10008.1.2.4.50";
        let both = [
            uids::IMPLICIT_VR_LITTLE_ENDIAN,
            uids::EXPLICIT_VR_LITTLE_ENDIAN,
        ];
        let ct = proposed(1, "1.2.840.10008.5.1.4.1.1.2", &[jpeg, both[0]]);
        assert_eq!(&*policy.choose(&ct, false).unwrap(), jpeg);
        let find = proposed(
            3,
            uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND,
            &both,
        );
        assert_eq!(
            &*policy.choose(&find, false).unwrap(),
            uids::EXPLICIT_VR_LITTLE_ENDIAN
        );
        let echo = proposed(5, uids::VERIFICATION, &[jpeg]);
        assert_eq!(
            policy.choose(&echo, false),
            Err(PresentationContextResultReason::TransferSyntaxesNotSupported)
        );
    }

    #[test]
    fn what_is_retrieved_comes_as_the_caller_likes_it_best() {
        let policy = NegotiationPolicy::default();
        let lossless = "1.2.840.10008.1.2.4.70";
        let (implicit, explicit) = (
            uids::IMPLICIT_VR_LITTLE_ENDIAN,
            uids::EXPLICIT_VR_LITTLE_ENDIAN,
        );
        for (offered, chosen) in [
            (&[lossless, explicit, implicit][..], lossless),
            (&[implicit, explicit], implicit),
            (&[explicit, implicit, lossless], explicit),
            (&[EXPLICIT_VR_BIG_ENDIAN, implicit], implicit),
            (&[EXPLICIT_VR_BIG_ENDIAN], EXPLICIT_VR_BIG_ENDIAN),
        ] {
            let ct = proposed(1, "1.2.840.10008.5.1.4.1.1.2", offered);
            assert_eq!(&*policy.choose(&ct, true).unwrap(), chosen, "{offered:?}");
        }
    }

    #[test]
    fn storage_is_what_the_standard_calls_so() {
        let policy = NegotiationPolicy::default();
        for (class, name) in [
            ("1.2.840.10008.5.1.4.1.1.2", "CT Image"),
            ("1.2.840.10008.5.1.4.34.7", "RT Beams Delivery Instruction"),
            (
                "1.2.840.10008.5.1.4.34.10",
                "RT Brachy Application Setup Delivery Instruction",
            ),
            ("1.2.840.10008.5.1.4.38.1", "Hanging Protocol"),
            ("1.2.840.10008.5.1.4.39.1", "Color Palette"),
            ("1.2.840.10008.5.1.4.43.1", "Generic Implant Template"),
            ("1.2.840.10008.5.1.4.45.1", "Implant Template Group"),
            ("1.2.840.10008.5.1.1.27", "Stored Print"),
            ("1.2.840.10008.5.1.1.29", "Hardcopy Grayscale Image"),
            ("1.2.840.10008.5.1.4.1.1.201.1", "Inventory"),
            ("1.2.840.10008.5.1.4.1.1.9999.1", "one that is yet to come"),
        ] {
            assert!(policy.is_storage(class), "{name}");
        }
        for (class, name) in [
            ("1.2.840.10008.1.1", "Verification"),
            ("1.2.840.10008.1.20.1", "Storage Commitment Push Model"),
            ("1.2.840.10008.1.20.2", "Storage Commitment Pull Model"),
            ("1.2.840.10008.1.3.10", "Media Storage Directory"),
            ("1.2.840.10008.5.1.4.1.1.201.2", "Inventory FIND"),
            ("1.2.840.10008.5.1.4.1.1.200.4", "Protocol Approval FIND"),
            ("1.2.840.10008.5.1.4.38.2", "Hanging Protocol FIND"),
            ("1.2.840.10008.5.1.4.31", "Modality Worklist FIND"),
            ("1.2.840.10008.5.1.4.9999", "nothing that we know"),
            ("1.2.840.10008.5.1.4.1.1.x", "no UID"),
        ] {
            assert!(!policy.is_storage(class), "{name}");
        }
    }

    #[test]
    fn private_storage_is_a_setting() {
        let private = "1.3.12.2.1107.5.9.1";
        assert!(NegotiationPolicy::default().is_storage(private));
        let closed = NegotiationPolicy {
            accept_private_storage: false,
        };
        assert!(!closed.is_storage(private));
        assert!(closed.is_storage("1.2.840.10008.5.1.4.1.1.2"));
    }
}
