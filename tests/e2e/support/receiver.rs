//! Something that takes HTTP requests, keeps them, and answers as a test wants.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long to wait for requests.
const WAIT_MAX: Duration = Duration::from_secs(40);

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// By their names in small letters.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// What is answered to the request of that number: a status line's end, such as `200 OK`, and perhaps more headers; behind an
/// empty line the body.
type Answer = dyn Fn(usize, &Request) -> String + Send + Sync;

/// A server for requests.
pub(crate) struct Receiver {
    port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
    answer: Arc<Answer>,
    over: Arc<AtomicBool>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
}

impl Receiver {
    /// On a free port.
    pub(crate) fn start(answer: impl Fn(usize, &Request) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let mut receiver = Self {
            port,
            requests: Arc::default(),
            answer: Arc::new(answer),
            over: Arc::default(),
            connections: Arc::default(),
        };
        receiver.listen(listener);
        receiver
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/changes", self.port)
    }

    /// Goes away: connections end, and nobody listens.
    pub(crate) fn go_away(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes the listener, which sees that it is over.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        for connection in self.connections.lock().unwrap().drain(..) {
            let _ = connection.shutdown(std::net::Shutdown::Both);
        }
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
            assert!(began.elapsed() < WAIT_MAX, "somebody still listens");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Comes back on the same port.
    pub(crate) fn come_back(&mut self) {
        let began = Instant::now();
        let listener = loop {
            match TcpListener::bind(("127.0.0.1", self.port)) {
                Ok(listener) => break listener,
                Err(error) => assert!(began.elapsed() < WAIT_MAX, "the port is not free again: {error}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        self.listen(listener);
    }

    /// What has come so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// Waits for so many requests, and gives all.
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Request> {
        self.wait_until(&format!("{count} requests"), |requests| requests.len() >= count)
    }

    /// Waits until what has come is as it should be, and gives all.
    pub(crate) fn wait_until(&self, what: &str, is_so: impl Fn(&[Request]) -> bool) -> Vec<Request> {
        let began = Instant::now();
        loop {
            let requests = self.requests();
            if is_so(&requests) {
                return requests;
            }
            assert!(began.elapsed() < WAIT_MAX, "waited in vain for {what}: {requests:#?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn listen(&mut self, listener: TcpListener) {
        self.over = Arc::default();
        let over = Arc::clone(&self.over);
        let (requests, answer) = (Arc::clone(&self.requests), Arc::clone(&self.answer));
        let connections = Arc::clone(&self.connections);
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                connections.lock().unwrap().push(connection.try_clone().expect("a socket"));
                let (requests, answer) = (Arc::clone(&requests), Arc::clone(&answer));
                std::thread::spawn(move || serve(&connection, &requests, answer.as_ref()));
            }
        });
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

/// Answers the requests of a connection until it ends.
fn serve(connection: &TcpStream, requests: &Mutex<Vec<Request>>, answer: &Answer) {
    let mut reader = BufReader::new(connection);
    while let Some(request) = read(&mut reader) {
        let number = {
            let mut requests = requests.lock().unwrap();
            requests.push(request.clone());
            requests.len() - 1
        };
        let answer = answer(number, &request);
        let mut connection = connection;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer.as_str(), ""));
        let length = body.len();
        if write!(connection, "HTTP/1.1 {head}\r\nContent-Length: {length}\r\n\r\n{body}").is_err() {
            return;
        }
    }
}

fn read(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    let first = reader.read_line(&mut line).ok()?;
    if first == 0 {
        return None;
    }
    assert!(line.starts_with("POST /changes HTTP/1.1"), "{line}");
    let mut headers = HashMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length")?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { headers, body: String::from_utf8(body).expect("JSON") })
}
