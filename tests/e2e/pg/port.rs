//! The port itself: limits, what is refused, the end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::Desk;
use crate::support::Server;
use crate::support::server::{free_port, millstream};

fn raw(desk: &Desk) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", desk.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

fn startup(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = 196_608_i32.to_be_bytes().to_vec();
    for (name, value) in parameters {
        body.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
    }
    body.push(0);
    let mut bytes = i32::try_from(body.len() + 4).unwrap().to_be_bytes().to_vec();
    bytes.extend(body);
    bytes
}

/// Everything up to the end.
fn answer(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn encryption_is_declined_and_the_client_goes_on() {
    let desk = Desk::new();
    let mut stream = raw(&desk);
    for request in [80_877_103_i32, 80_877_104] {
        stream.write_all(&[8_i32.to_be_bytes(), request.to_be_bytes()].concat()).unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        assert_eq!(byte, *b"N");
    }
    stream.write_all(&startup(&[("user", "ann"), ("database", "shop")])).unwrap();
    let mut kind = [0];
    stream.read_exact(&mut kind).unwrap();
    assert_eq!(kind, *b"R");
}

#[test]
fn what_is_no_message_is_refused() {
    let desk = Desk::new();
    for (bytes, expected) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "08P01"),
        (startup(&[("user", "ann"), ("database", "a/b")]), "3D000"),
        (startup(&[("user", "ann"), ("client_encoding", "LATIN1")]), "22023"),
        (startup(&[("database", "shop")]), "28000"),
        ([startup(&[("user", "ann")]), b"Q\x7f\xff\xff\xff".to_vec()].concat(), "08P01"),
        ([startup(&[("user", "ann")]), b"P\0\0\0\x08\0\0\xff\xff".to_vec()].concat(), "08P01"),
        ([startup(&[("user", "ann")]), b"Z\0\0\0\x04".to_vec()].concat(), "08P01"),
    ] {
        let mut stream = raw(&desk);
        stream.write_all(&bytes).unwrap();
        let answer = answer(stream);
        assert!(answer.contains(&format!("C{expected}")), "{expected}: {answer:?}");
    }
    assert!(desk.run(&["SELECT 1"]).contains("(1 row)"));
}

#[test]
fn the_end_of_the_server_is_told() {
    let mut desk = Desk::new();
    let mut stream = raw(&desk);
    stream.write_all(&startup(&[("user", "ann"), ("database", "shop")])).unwrap();
    let mut byte = [0];
    stream.read_exact(&mut byte).unwrap();
    let changes = b"SELECT _id FROM orders WHERE CHANGE_DETECTED()\0";
    let mut query = vec![b'Q'];
    query.extend(i32::try_from(changes.len() + 4).unwrap().to_be_bytes());
    query.extend(changes);
    stream.write_all(&query).unwrap();
    // The description of its columns: it runs.
    let mut seen = Vec::new();
    while !seen.ends_with(b"_id\0") {
        stream.read_exact(&mut byte).unwrap();
        seen.extend(byte);
    }
    let (status, _) = desk.server.terminate();
    assert!(status.success());
    assert!(answer(stream).contains("C57P01"));
}

#[test]
fn addresses_are_checked_and_warned_about() {
    let desk = Desk::new();
    let taken = format!("127.0.0.1:{}", desk.port);
    let output = millstream().args(["serve", "--memory", "--port", "0", "--pg-listen", &taken]).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && errors.contains(&format!("{taken} is in use")), "{errors}");
    let output = millstream().args(["run", "--uri", &desk.server.uri(), "--pg-listen", &taken]).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && errors.contains(&format!("{taken} is in use")), "{errors}");
    let output = millstream().args(["serve", "--pg-listen", "here"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let public = Server::with(&["--memory", "--pg-listen", &format!("0.0.0.0:{}", free_port())]);
    assert!(public.log().contains("WARNING: there is no authentication yet, and 0.0.0.0"), "{}", public.log());
}
