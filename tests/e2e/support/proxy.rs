//! Something between a driver and the server that can be cut.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Passes connections on to a server.
pub(crate) struct Proxy {
    port: u16,
    /// Both ends of every connection since the last cut.
    ends: Arc<Mutex<Vec<TcpStream>>>,
    connections: Arc<AtomicUsize>,
    /// Connections with lower numbers stay open, but nothing passes any more.
    silent_below: Arc<AtomicUsize>,
}

impl Proxy {
    /// Passes on to `host:port`, also when nobody listens there for a while.
    pub(crate) fn to(address: String) -> Self {
        Self::renaming(address, "", "")
    }

    /// The same, with a word that the server gets to hear as another one of the same length, and the other way round.
    pub(crate) fn renaming(address: String, ours: &'static str, theirs: &'static str) -> Self {
        assert_eq!(ours.len(), theirs.len(), "messages keep their lengths");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let ends = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&ends);
        let (connections, silent_below) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (numbers, silent) = (Arc::clone(&connections), Arc::clone(&silent_below));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // No server: the client sees its connection end.
                let Ok(server) = TcpStream::connect(&address) else { continue };
                for end in [&client, &server] {
                    end.set_nodelay(true).expect("a socket option");
                    kept.lock().unwrap().push(end.try_clone().expect("a socket"));
                }
                let number = numbers.fetch_add(1, Ordering::SeqCst);
                let silent = || {
                    let silent = Arc::clone(&silent);
                    move || number < silent.load(Ordering::SeqCst)
                };
                pass(
                    client.try_clone().expect("a socket"),
                    server.try_clone().expect("a socket"),
                    silent(),
                    (ours, theirs),
                );
                pass(server, client, silent(), (theirs, ours));
            }
        });
        Self { port, ends, connections, silent_below }
    }

    /// The URI of the server behind it. Direct: the server would tell a driver its own address.
    pub(crate) fn uri(&self) -> String {
        format!("mongodb://127.0.0.1:{}/?directConnection=true", self.port)
    }

    /// Ends every connection.
    pub(crate) fn cut(&self) {
        for end in self.ends.lock().unwrap().drain(..) {
            // It may have ended already.
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    /// Lets every connection that is there stay open, with nothing passing any more.
    pub(crate) fn silence(&self) {
        self.silent_below.store(self.connections.load(Ordering::SeqCst), Ordering::SeqCst);
    }
}

fn pass(
    mut from: TcpStream,
    mut to: TcpStream,
    is_silent: impl Fn() -> bool + Send + 'static,
    (old, new): (&'static str, &'static str),
) {
    std::thread::spawn(move || {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            if !old.is_empty() {
                // A message is written in one piece, and these are small.
                let places: Vec<usize> =
                    (0..count).filter(|at| bytes[*at..count].starts_with(old.as_bytes())).collect();
                for at in places {
                    bytes[at..at + new.len()].copy_from_slice(new.as_bytes());
                }
            }
            if !is_silent() && to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    });
}
