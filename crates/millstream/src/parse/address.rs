//! Addresses to listen on.

use std::net::{Ipv4Addr, SocketAddr};

/// `127.0.0.1:5432`, `localhost:5432`, `[::1]:5432`.
pub(crate) fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let wrong = || format!("`{text}` is no address: write one such as 127.0.0.1:5432");
    match text.strip_prefix("localhost:") {
        Some(port) => port.parse().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).map_err(|_| wrong()),
        None => text.parse().map_err(|_| wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_port() {
        assert_eq!(listen_address("localhost:1").unwrap(), listen_address("127.0.0.1:1").unwrap());
        assert!(listen_address("[::1]:5432").is_ok());
        for wrong in ["5432", "127.0.0.1", "here:1", "localhost:x"] {
            assert!(listen_address(wrong).is_err(), "{wrong}");
        }
    }
}
