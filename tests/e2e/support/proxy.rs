//! Something between a driver and the server that can be cut.

use std::io::copy;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Passes connections on to a server.
pub(crate) struct Proxy {
    port: u16,
    /// Both ends of every connection since the last cut.
    ends: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    /// Passes on to `host:port`, also when nobody listens there for a while.
    pub(crate) fn to(address: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let ends = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&ends);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // No server: the client sees its connection end.
                let Ok(server) = TcpStream::connect(&address) else { continue };
                for end in [&client, &server] {
                    end.set_nodelay(true).expect("a socket option");
                    kept.lock().unwrap().push(end.try_clone().expect("a socket"));
                }
                pass(client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
                pass(server, client);
            }
        });
        Self { port, ends }
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
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    std::thread::spawn(move || {
        let _ = copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    });
}
