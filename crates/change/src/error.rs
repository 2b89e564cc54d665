//! What can go wrong, and the code a client sees for it.

use millstream_value::{ClusterTime, Code};

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong with a change stream.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The value of `$changeStream` is not a document (CS-4.2.1).
    #[error("the $changeStream stage specification must be an object, found {found}")]
    StageNotObject {
        /// Its type.
        found: &'static str,
    },
    /// An option that does not exist (CS-4.2.2).
    #[error("BSON field '$changeStream.{0}' is an unknown field.")]
    UnknownOption(String),
    /// An option given twice (CS-4.2.2).
    #[error("BSON field '$changeStream.{0}' is a duplicate field")]
    RepeatedOption(String),
    /// An option of the wrong type (CS-4.2.3).
    #[error("BSON field '$changeStream.{option}' is the wrong type '{found}', expected type '{expected}'")]
    WrongType {
        /// The option.
        option: &'static str,
        /// What it is.
        found: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// An option whose text is none of those allowed (CS-4.2.3).
    #[error("Enumeration value '{value}' for field '$changeStream.{option}' is not a valid value.")]
    Enumeration {
        /// The option.
        option: &'static str,
        /// The text.
        value: String,
    },
    /// `resumeAfter` beside `startAfter` (CS-4.2.6).
    #[error("Do not specify both 'resumeAfter' and 'startAfter' in a $changeStream stage")]
    ResumeAndStart,
    /// `startAtOperationTime` beside a token (CS-4.2.6).
    #[error(
        "Only one type of resume option is allowed, but multiple were found: 'startAtOperationTime' and a resume token"
    )]
    TimeAndToken,
    /// `startAtOperationTime` beside a snapshot, which begins now.
    #[error(
        "Do not specify both 'startAtOperationTime' and a snapshot in a $changeStream stage: a snapshot begins now"
    )]
    SnapshotAndTime,
    /// `resumeAfter` an invalidation (CS-4.2.7).
    #[error("Attempting to resume a change stream using 'resumeAfter' is not allowed from an invalidate notification.")]
    ResumeAfterInvalidate,
    /// A collection stream from a token without a collection (CS-4.2.8).
    #[error(
        "Attempted to resume a single-collection stream, but the resume token does not include a UUID: it cannot be used here"
    )]
    NoUuid,
    /// `allChangesForCluster` outside of `admin` (CS-3.2).
    #[error(
        "A $changeStream with 'allChangesForCluster:true' may only be opened on the 'admin' database, and with no collection name; found {0}"
    )]
    ClusterScope(String),
    /// A namespace that cannot be watched (CS-3.2).
    #[error("$changeStream may not be opened on the internal {0}")]
    InternalNamespace(String),
    /// `$changeStream` is not the first stage (CS-3.1.3).
    #[error("$changeStream is only valid as the first stage in a pipeline")]
    NotFirst,
    /// A resume token that is none (CS-5.5).
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The user's stages are wrong or failed.
    #[error(transparent)]
    Query(#[from] millstream_query::Error),
    /// The client's token was not among the events (CS-5.8.3).
    #[error("cannot resume stream; the resume token was not found. {{_data: \"{found}\"}}")]
    TokenNotFound {
        /// The token found instead, as text.
        found: String,
    },
    /// A token of a fragment, but the event is not split the same way (CS-5.8.5).
    #[error("cannot resume stream; the resume token names a fragment of a split event, but {0}")]
    FragmentNotFound(&'static str),
    /// The history that was asked for is gone (CS-5.9.1).
    #[error("Resume of change stream was not possible, as the resume point may no longer be in the oplog.")]
    HistoryLost {
        /// Where the stream should have started.
        wanted: ClusterTime,
    },
    /// A live stream fell so far behind that its place in the log is gone (CS-5.9.3).
    #[error("CollectionScan died due to position in capped collection being deleted: {at}")]
    PositionLost {
        /// Where it was.
        at: ClusterTime,
    },
    /// A pre-image is required and missing (CS-9.3).
    #[error(
        "Change stream was configured to require a pre-image for all update, delete and replace events, but the pre-image was not found for event: {event}"
    )]
    NoPreImage {
        /// The event without it, in shell notation.
        event: String,
    },
    /// A post-image is required and missing (CS-9.4.1).
    #[error(
        "Change stream was configured to require a post-image for all update events, but the post-image was not found for event: {event}"
    )]
    NoPostImage {
        /// The event without it, in shell notation.
        event: String,
    },
    /// The pipeline changed `_id` (CS-6.4).
    #[error(
        "Encountered an event whose _id field, which contains the resume token, was modified by the pipeline. Modifying the _id field of an event makes it impossible to resume the stream from that point. Only transformations that retain the unmodified _id field are allowed. Expected: {expected} but found: {found}"
    )]
    IdModified {
        /// `{ _id: … }` as it must be.
        expected: String,
        /// `{ _id: … }` as it is.
        found: String,
    },
    /// An event that no reply can hold (CS-6.7.1).
    #[error("BSONObj size: {bytes} is invalid. Size must be between 0 and {max}")]
    EventTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A field that no fragment can hold (CS-6.8.3).
    #[error("Splitting change event failed: the field '{field}' of {bytes} bytes is too large")]
    FieldTooLarge {
        /// Its name.
        field: String,
        /// Its size.
        bytes: usize,
    },
    /// A too large event that has no fields to split (CS-6.8.3).
    #[error("Splitting change event failed: it has no fields besides _id")]
    NothingToSplit,
    /// An update entry that is neither a delta nor a replacement (CS-2.1.2).
    #[error("unsupported or missing oplog version, found an update entry that is neither a delta nor a replacement")]
    UpdateForm,
    /// A log entry that is not one of ours.
    #[error("the log entry at {time} is damaged: {what}")]
    Damaged {
        /// Which.
        time: ClusterTime,
        /// What is missing or wrong.
        what: &'static str,
    },
    /// The current document could not be looked up.
    #[error("{message}")]
    Lookup {
        /// The code of the cause.
        code: Code,
        /// Its text.
        message: String,
    },
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] millstream_storage::Error),
}

/// Why a document is not a resume token (CS-5.5).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// `_data` is missing or not a string.
    #[error("Bad resume token: _data of missing or of wrong type. Expected string, got {0}")]
    NoData(String),
    /// `_typeBits` is not binary.
    #[error("Bad resume token: _typeBits of wrong type {0}")]
    TypeBits(String),
    /// Not hexadecimal digits in pairs.
    #[error("resume token string was not a valid hex string")]
    NotHex,
    /// No bytes.
    #[error("invalid empty resume token")]
    Empty,
    /// Bytes that are no key.
    #[error("KeyString format error: Unknown type: {0}")]
    UnknownType(u8),
    /// A key that ends too early or nests too deeply.
    #[error("KeyString format error: {0}")]
    Format(&'static str),
    /// No version.
    #[error("Invalid resume token: no version")]
    NoVersion,
    /// The version is not an int.
    #[error("Invalid resume token: wrong type for version")]
    VersionType,
    /// The version is not 0, 1 or 2.
    #[error("Invalid resume token: only supports version 0, 1 and 2, found {0}")]
    Version(i64),
    /// No token type.
    #[error("Resume token missing type")]
    NoType,
    /// The token type is not an int.
    #[error("Resume token type is not an int")]
    TypeType,
    /// The token type is neither 0 nor 128.
    #[error("Invalid resume token type: {0}")]
    Type(i64),
    /// No index.
    #[error("Resume Token: no txnOpIndex")]
    NoIndex,
    /// The index is not an int.
    #[error("Resume Token: txnOpIndex is not an int")]
    IndexType,
    /// The index is negative.
    #[error("Resume Token: txnOpIndex should be non-negative, found {0}")]
    NegativeIndex(i64),
    /// No invalidate flag.
    #[error("Resume Token: no fromInvalidate")]
    NoFlag,
    /// The invalidate flag is not a bool.
    #[error("Resume Token: fromInvalidate is not a bool")]
    FlagType,
    /// Version 2 without a place for the collection.
    #[error("Expected UUID or null in resume token")]
    NoUuidField,
    /// A high-water mark that names an event.
    #[error("Unexpected eventIdentifier in high-water-mark resume token")]
    UnexpectedIdentifier,
    /// An event token that names none.
    #[error("Expected eventIdentifier in resume token")]
    NoIdentifier,
    /// The name of an event is not a document.
    #[error("Resume Token: eventIdentifier is not an object")]
    IdentifierType,
    /// The fragment is not a non-negative int.
    #[error("Resume Token: fragmentNum must be a non-negative int")]
    Fragment,
    /// Something follows.
    #[error("invalid oversized resume token")]
    LeftOver,
}

impl Error {
    /// The protocol's number for it.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::StageNotObject { .. } => Code::Location(6_188_500),
            Self::UnknownOption(_) => Code::IDLUnknownField,
            Self::RepeatedOption(_) => Code::IDLDuplicateField,
            Self::WrongType { .. } => Code::TypeMismatch,
            Self::Enumeration { .. } => Code::BadValue,
            Self::ResumeAndStart => Code::Location(50_865),
            Self::TimeAndToken => Code::Location(40_674),
            Self::ResumeAfterInvalidate | Self::NoUuid => Code::InvalidResumeToken,
            Self::ClusterScope(_) | Self::SnapshotAndTime => Code::InvalidOptions,
            Self::InternalNamespace(_) => Code::InvalidNamespace,
            Self::NotFirst => Code::Location(40_602),
            Self::Token(error) => error.code(),
            Self::Query(error) => error.code,
            Self::TokenNotFound { .. } | Self::FragmentNotFound(_) | Self::IdModified { .. } => {
                Code::ChangeStreamFatalError
            }
            Self::HistoryLost { .. } => Code::ChangeStreamHistoryLost,
            Self::PositionLost { .. } => Code::CappedPositionLost,
            Self::NoPreImage { .. } | Self::NoPostImage { .. } => Code::NoMatchingDocument,
            Self::EventTooLarge { .. } => Code::BSONObjectTooLarge,
            Self::FieldTooLarge { .. } => Code::Location(7_182_500),
            Self::NothingToSplit => Code::Location(7_182_502),
            Self::UpdateForm => Code::Location(6_741_200),
            Self::Damaged { .. } | Self::Storage(_) => Code::InternalError,
            Self::Lookup { code, .. } => *code,
        }
    }

    /// The label that tells a driver not to resume, if it must not (CS-5.9.4).
    #[must_use]
    pub fn label(&self) -> Option<&'static str> {
        matches!(self.code(), Code::ChangeStreamFatalError | Code::ChangeStreamHistoryLost)
            .then_some("NonResumableChangeStreamError")
    }
}

impl TokenError {
    /// The protocol's number for it.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::NoData(_) => Code::Location(40_647),
            Self::TypeBits(_) => Code::Location(40_648),
            Self::NotHex => Code::FailedToParse,
            Self::Empty => Code::Location(40_649),
            Self::UnknownType(_) => Code::Location(50_811),
            Self::Format(_) => Code::Location(50_810),
            Self::NoVersion => Code::Location(50_796),
            Self::VersionType => Code::Location(50_854),
            Self::Version(_) => Code::Location(50_795),
            Self::NoType => Code::Location(51_055),
            Self::TypeType => Code::Location(51_056),
            Self::Type(_) => Code::Location(51_057),
            Self::NoIndex => Code::Location(50_793),
            Self::IndexType => Code::Location(50_855),
            Self::NegativeIndex(_) => Code::Location(50_794),
            Self::NoFlag => Code::Location(50_872),
            Self::FlagType => Code::Location(50_870),
            Self::NoUuidField => Code::Location(6_189_500),
            Self::UnexpectedIdentifier => Code::Location(6_189_504),
            Self::NoIdentifier => Code::Location(6_189_501),
            Self::IdentifierType => Code::Location(6_189_503),
            Self::Fragment => Code::Location(7_182_501),
            Self::LeftOver => Code::Location(40_646),
        }
    }
}
