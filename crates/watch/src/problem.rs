//! A driver's error in one sentence: what is wrong, and what to do about it.

use mongodb::error::{Error, ErrorKind};

/// What an error comes down to, for those who react to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProblemKind {
    /// The URI cannot be used.
    BadUri,
    /// No server was reached.
    Unreachable,
    /// The encrypted connection could not be made.
    Tls,
    /// The server did not accept user and password.
    Authentication,
    /// The user may not do this.
    NotAuthorized,
    /// The server has no change streams because it is in no replica set.
    Standalone,
    /// The changes after the starting point are gone from the server's log.
    HistoryLost,
    /// The log has no event with the given token, or the token cannot be used here.
    TokenNotFound,
    /// The token is malformed.
    BadToken,
    /// The server refuses the pipeline or an option.
    BadPipeline,
    /// An image was required that is not there.
    NoImage,
    /// An event is larger than a reply can be.
    EventTooLarge,
    /// The server does not offer this.
    NotOffered,
    /// Too many files or connections are open in this process.
    TooManyFiles,
    /// Anything else.
    Other,
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What it comes down to.
    pub kind: ProblemKind,
    /// The server's code, if it was the server who refused.
    pub code: Option<i32>,
    /// One sentence for a person, without a full stop.
    pub sentence: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl Problem {
    /// Explains an error; `servers` are those of the URI, `subject` is what was being worked on
    /// ("collection shop.orders") and may be empty.
    pub fn of(error: &Error, servers: &[String], subject: &str) -> Self {
        let facts = Facts {
            servers: match servers {
                [] => "the server".to_owned(),
                some => some.join(", "),
            },
            subject: if subject.is_empty() { "this".to_owned() } else { subject.to_owned() },
            message: one_line(&message(error)),
        };
        let code = code(error);
        let (kind, sentence) =
            by_kind(error, &facts).or_else(|| code.and_then(|code| by_code(code, &facts))).unwrap_or_else(|| {
                let sentence = match code {
                    Some(code) => format!("the server refused (code {code}): {}", facts.message),
                    None => format!("the connection to {} failed: {}", facts.servers, facts.message),
                };
                (ProblemKind::Other, sentence)
            });
        Self { kind, code, sentence }
    }
}

/// Whether it is worth trying again: the network, a server that restarts, a new primary.
/// The codes are those that a server labels as resumable (CS-5.10.3), that of a lost cursor, and those that the drivers'
/// specification lists for servers without labels. A server's word that an error is lasting goes above its code.
pub(crate) fn is_passing(error: &Error) -> bool {
    match error.kind.as_ref() {
        ErrorKind::Io(_)
        | ErrorKind::ConnectionPoolCleared { .. }
        | ErrorKind::DnsResolve { .. }
        | ErrorKind::ServerSelection { .. } => true,
        _ => server_says_passing(|label| error.contains_label(label), code(error)),
    }
}

fn server_says_passing(has_label: impl Fn(&str) -> bool, code: Option<i32>) -> bool {
    const PASSING: &[i32] = &[
        6, 7, 43, 63, 89, 91, 133, 134, 150, 175, 189, 234, 262, 358, 402, 407, 412, 9001, 10107, 11600, 11602, 13388,
        13435, 13436, 50915,
    ];
    if has_label("NonResumableChangeStreamError") {
        return false;
    }
    has_label("ResumableChangeStreamError") || code.is_some_and(|code| PASSING.contains(&code))
}

struct Facts {
    servers: String,
    subject: String,
    message: String,
}

struct Known {
    codes: &'static [i32],
    kind: ProblemKind,
    say: fn(&Facts) -> String,
}

/// What is known about the server's codes, by the first code.
static KNOWN: &[Known] = &[
    Known {
        codes: &[2, 9, 14, 20, 72, 222, 40324, 40413, 40414, 40415, 40600, 40602, 31441, 51047],
        kind: ProblemKind::BadPipeline,
        say: |f| format!("the server refuses the pipeline or an option: {}", f.message),
    },
    Known {
        codes: &[13],
        kind: ProblemKind::NotAuthorized,
        say: |f| {
            format!(
                "the user of the URI may not watch {}: grant it find and changeStream there (the role read has both), or use another user",
                f.subject
            )
        },
    },
    Known {
        codes: &[18],
        kind: ProblemKind::Authentication,
        say: |f| format!("{} does not accept the user and password of the URI: check them, and authSource", f.servers),
    },
    Known {
        codes: &[47],
        kind: ProblemKind::NoImage,
        say: |f| {
            format!(
                "the server has no image of a changed document, and the mode `required` insists on it: use whenAvailable, or switch changeStreamPreAndPostImages on for the collection ({})",
                f.message
            )
        },
    },
    Known {
        codes: &[59, 73, 115, 238, 303],
        kind: ProblemKind::NotOffered,
        say: |f| format!("{} does not offer this: {}", f.servers, f.message),
    },
    Known {
        codes: &[136, 286],
        kind: ProblemKind::HistoryLost,
        say: |f| {
            format!(
                "the changes after the starting point are no longer in the server's log: start fresh, without a token or checkpoint, after reading {} as it is now, and keep a longer log",
                f.subject
            )
        },
    },
    Known {
        codes: &[260],
        kind: ProblemKind::TokenNotFound,
        say: |f| {
            format!(
                "the token cannot be resumed from here ({}): after an invalidate use --start-after, and watch what the token was made for",
                f.message
            )
        },
    },
    Known {
        codes: &[280],
        kind: ProblemKind::TokenNotFound,
        say: |f| {
            format!(
                "the stream cannot go on: the event of the token is not among those of {}; it is of another server, scope or pipeline, or the pipeline removes _id: start fresh, or watch as the token was made ({})",
                f.subject, f.message
            )
        },
    },
    Known {
        codes: &[10334],
        kind: ProblemKind::EventTooLarge,
        say: |_| {
            "an event is larger than a reply can be: take fields away with a $project, or end the pipeline with {\"$changeStreamSplitLargeEvent\": {}}".to_owned()
        },
    },
    Known {
        codes: &[40573],
        kind: ProblemKind::Standalone,
        say: |f| {
            format!(
                "{} is a standalone MongoDB, which has no change streams: start it with --replSet rs0 and run rs.initiate() once, or use Millstream, which needs neither",
                f.servers
            )
        },
    },
    Known {
        codes: &[
            40646, 40647, 40648, 40649, 50793, 50794, 50795, 50796, 50854, 50855, 50870, 50872, 51055, 51056, 51057,
            6_189_500, 6_189_501, 6_189_503, 6_189_504, 7_182_501,
        ],
        kind: ProblemKind::BadToken,
        say: |f| format!("the server does not accept the token: {}", f.message),
    },
];

/// A server that does not know an option says so with this code.
const UNKNOWN_FIELD: i32 = 40415;

/// A code that stands for all malformed tokens.
const MALFORMED_TOKEN: i32 = 40647;

fn by_code(code: i32, facts: &Facts) -> Option<(ProblemKind, String)> {
    if code == UNKNOWN_FIELD && facts.message.contains("'$changeStream.millstream'") {
        let sentence = format!(
            "{} is no Millstream, and MongoDB cannot begin a stream with the documents that are there: read them first, or leave --snapshot out",
            facts.servers
        );
        return Some((ProblemKind::NotOffered, sentence));
    }
    // The bytes of a token are read by a part of the server with some forty codes of its own.
    let malformed = facts.message.contains("KeyString");
    let code = if malformed { MALFORMED_TOKEN } else { code };
    let known = KNOWN.iter().find(|known| known.codes.contains(&code))?;
    Some((known.kind, (known.say)(facts)))
}

fn by_kind(error: &Error, facts: &Facts) -> Option<(ProblemKind, String)> {
    let Facts { servers, message, .. } = facts;
    match error.kind.as_ref() {
        ErrorKind::InvalidArgument { .. } => Some((
            ProblemKind::BadUri,
            format!("the URI cannot be used: {message}; it looks like mongodb://HOST:PORT/DATABASE?replicaSet=NAME"),
        )),
        ErrorKind::DnsResolve { .. } => {
            Some((ProblemKind::BadUri, format!("the name in the URI could not be looked up: {message}")))
        }
        ErrorKind::InvalidTlsConfig { .. } => {
            Some((ProblemKind::Tls, format!("the TLS options of the URI cannot be used: {message}")))
        }
        ErrorKind::Authentication { .. } => Some((
            ProblemKind::Authentication,
            format!(
                "{servers} does not accept the user and password of the URI ({message}): check them, and authSource"
            ),
        )),
        ErrorKind::IncompatibleServer { .. } => {
            Some((ProblemKind::NotOffered, format!("{servers} is too old or too new for this program: {message}")))
        }
        ErrorKind::Io(source) if is_file_limit(source.raw_os_error(), message) => Some(too_many_files()),
        ErrorKind::ServerSelection { .. } | ErrorKind::ConnectionPoolCleared { .. } | ErrorKind::Io(_) => {
            Some(unreachable(servers, message))
        }
        _ => None,
    }
}

/// A table from what the driver's long text says to what it means. The driver keeps the reason
/// only as text, so text is all there is to go by.
fn unreachable(servers: &str, message: &str) -> (ProblemKind, String) {
    let text = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if is_file_limit(None, &text) {
        too_many_files()
    } else if says(&["authentication failed", "scram failure"]) {
        let sentence =
            format!("{servers} does not accept the user and password of the URI: check them, and authSource");
        (ProblemKind::Authentication, sentence)
    } else if says(&["certificate", "tls", "invalid peer", "handshakefailure"]) {
        let sentence = format!(
            "the encrypted connection to {servers} failed: check that the server uses TLS, and tls= and tlsCAFile= in the URI ({})",
            reason(message)
        );
        (ProblemKind::Tls, sentence)
    } else if says(&["refused"]) {
        let sentence =
            format!("nothing listens at {servers}: start a server there (`millstream serve`), or give another --uri");
        (ProblemKind::Unreachable, sentence)
    } else if says(&["failed to lookup", "name or service not known", "no such host", "nodename nor"]) {
        let sentence = format!("the name in {servers} is unknown: check the host in the URI");
        (ProblemKind::Unreachable, sentence)
    } else if says(&["replicasetnoprimary"]) {
        let sentence = format!(
            "{servers} was reached, but is no primary of the replica set in the URI: check replicaSet= (a standalone server has none), or wait for an election"
        );
        (ProblemKind::Unreachable, sentence)
    } else if says(&["reset by peer", "broken pipe", "unexpected end of file", "unexpected eof"]) {
        let sentence =
            format!("{servers} closed the connection: is it a MongoDB, and does it want TLS (tls=true in the URI)?");
        (ProblemKind::Unreachable, sentence)
    } else if says(&["unreachable", "no route"]) {
        let sentence = format!("there is no route to {servers}: check the host in the URI and the network");
        (ProblemKind::Unreachable, sentence)
    } else {
        let sentence = format!(
            "{servers} does not answer: check the host and port in the URI, and firewalls between ({})",
            reason(message)
        );
        (ProblemKind::Unreachable, sentence)
    }
}

fn too_many_files() -> (ProblemKind, String) {
    let sentence = "too many files are open, and every connection is one: raise the limit with `ulimit -n 65536` here and for the server".to_owned();
    (ProblemKind::TooManyFiles, sentence)
}

/// EMFILE is 24 and ENFILE 23 on every Unix.
fn is_file_limit(os_error: Option<i32>, message: &str) -> bool {
    matches!(os_error, Some(23 | 24)) || message.to_lowercase().contains("too many open files")
}

fn code(error: &Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => Some(command.code),
        _ => None,
    }
}

fn message(error: &Error) -> String {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => command.message.clone(),
        ErrorKind::InvalidArgument { message, .. } => message.clone(),
        ErrorKind::Io(io) => io.to_string(),
        kind => kind.to_string(),
    }
}

/// The innermost reason in the driver's text about a failed server selection.
fn reason(message: &str) -> String {
    let inner = message.rfind("Kind: ").map_or(message, |at| message.get(at + 6..).unwrap_or(message));
    inner.split(", labels:").next().unwrap_or(inner).trim().to_owned()
}

/// Server messages may hold line ends and a whole pipeline; a sentence has a line and a limit.
fn one_line(text: &str) -> String {
    const CHARS_MAX: usize = 600;
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(CHARS_MAX).collect();
    if text.chars().count() > CHARS_MAX {
        line.push('…');
    }
    line.trim().trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(code: i32) -> (ProblemKind, String) {
        let facts = Facts {
            servers: "db.example:27017".into(),
            subject: "collection shop.orders".into(),
            message: "the server's words".into(),
        };
        by_code(code, &facts).unwrap()
    }

    #[test]
    fn no_code_is_listed_twice() {
        let mut codes: Vec<i32> = KNOWN.iter().flat_map(|k| k.codes).copied().collect();
        codes.sort_unstable();
        assert!(codes.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(KNOWN.is_sorted_by_key(|known| known.codes[0]));
    }

    #[test]
    fn codes_become_sentences_that_say_what_to_do() {
        let (kind, text) = say(40573);
        assert_eq!(kind, ProblemKind::Standalone);
        assert!(text.contains("db.example:27017 is a standalone MongoDB") && text.contains("--replSet"));
        let (kind, text) = say(286);
        assert_eq!(kind, ProblemKind::HistoryLost);
        assert!(text.contains("start fresh"));
        let (kind, text) = say(13);
        assert_eq!(kind, ProblemKind::NotAuthorized);
        assert!(text.contains("collection shop.orders"));
        assert_eq!(say(280).0, ProblemKind::TokenNotFound);
        assert_eq!(say(40324).0, ProblemKind::BadPipeline);
        assert_eq!(say(20).0, ProblemKind::BadPipeline);
    }

    #[test]
    fn an_option_of_millstream_only_is_called_that() {
        let facts = Facts {
            servers: "db.example:27017".into(),
            subject: String::new(),
            message: "BSON field '$changeStream.millstream' is an unknown field.".into(),
        };
        let (kind, text) = by_code(40415, &facts).unwrap();
        assert_eq!(kind, ProblemKind::NotOffered);
        assert!(text.starts_with("db.example:27017 is no Millstream") && text.contains("--snapshot"), "{text}");
    }

    #[test]
    fn malformed_tokens_are_known_by_their_message() {
        let facts = Facts {
            servers: String::new(),
            subject: String::new(),
            message: "KeyString format error: the key ends too early".into(),
        };
        assert_eq!(by_code(50810, &facts).unwrap().0, ProblemKind::BadToken);
    }

    #[test]
    fn every_sentence_is_one_line_without_a_full_stop() {
        for known in KNOWN {
            let (_, text) = say(known.codes[0]);
            assert!(!text.contains('\n') && !text.ends_with('.'), "{text}");
        }
    }

    #[test]
    fn reasons_for_not_reaching_a_server() {
        let kind = |text: &str| unreachable("h:1", text);
        assert!(kind("I/O error: Connection refused (os error 111)").1.starts_with("nothing listens at h:1"));
        assert_eq!(kind("invalid peer certificate: UnknownIssuer").0, ProblemKind::Tls);
        assert_eq!(kind("Too many open files (os error 24)").0, ProblemKind::TooManyFiles);
        assert!(kind("failed to lookup address information").1.contains("is unknown"));
        assert!(kind("Topology: { Type: ReplicaSetNoPrimary, Servers: [] }").1.contains("no primary"));
        assert!(kind("timed out").1.contains("does not answer"));
    }

    #[test]
    fn sentences_stay_short() {
        assert_eq!(one_line("a\nb. "), "a b");
        assert!(one_line(&"x".repeat(5000)).len() < 700);
    }

    #[test]
    fn network_errors_pass_and_user_errors_do_not() {
        let io: Error = std::io::Error::from(std::io::ErrorKind::ConnectionReset).into();
        assert!(is_passing(&io));
        assert!(!is_passing(&Error::custom("no")));
    }

    /// CS-5.10.2, CS-5.10.3: what a server says of its errors, and what is known of those that have no label.
    #[test]
    fn resumable_and_fatal_answers_are_told_apart() {
        let without_label = |code| server_says_passing(|_| false, Some(code));
        // A new primary, a shutdown, a moved shard, a lost cursor; each from a server too old for labels.
        for code in [6, 7, 43, 63, 89, 91, 133, 150, 189, 234, 262, 9001, 10107, 11600, 11602, 13388, 13435, 13436] {
            assert!(without_label(code), "{code}");
        }
        // Lost history, a token of something else, a bad pipeline, no rights, a stream that was killed.
        for code in [2, 9, 13, 18, 136, 237, 260, 280, 286, 10334, 40324, 40573, 40647, 50811] {
            assert!(!without_label(code), "{code}");
        }
        assert!(server_says_passing(|label| label == "ResumableChangeStreamError", Some(1)));
        assert!(!server_says_passing(|label| label == "NonResumableChangeStreamError", Some(43)));
        assert!(!server_says_passing(|_| false, None));
    }
}
