use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};

use super::*;

const MOMENT: Duration = Duration::from_nanos(1);

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn clients_get_a_part_of_the_descriptors_and_one_place_at_least() {
    for (descriptors, places) in [(0, 1), (7, 1), (8, 2), (100, 25), (255, 63), (256, 64), (1_000_000, 64)] {
        assert_eq!(Limits::within(descriptors).connections, places, "{descriptors}");
    }
}

#[test]
fn a_shortage_is_one_of_descriptors_or_memory() {
    let short = |errno| out_of_resources(&io::Error::from_raw_os_error(errno));
    assert!([libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM].into_iter().all(short));
    assert!(![libc::ECONNABORTED, libc::EPROTO, libc::ENETDOWN].into_iter().any(short));
}

#[test]
fn a_shortage_is_said_once_a_minute_and_the_pauses_in_it_double_up_to_a_bound() {
    let (mut shortage, now) = (Shortage::default(), Instant::now());
    let news: Vec<bool> = [Duration::ZERO, MOMENT, SAID_AGAIN - MOMENT, SAID_AGAIN, SAID_AGAIN * 2 - MOMENT]
        .map(|after| shortage.is_news(now + after))
        .to_vec();
    assert_eq!(news, [true, false, false, true, false]);
    let pauses: Vec<u128> = (0..6).map(|_| shortage.next_pause().as_millis()).collect();
    assert_eq!(pauses, [50, 100, 200, 400, 500, 500]);
}

#[test]
fn a_network_of_ipv6_is_one_client_and_an_address_of_ipv4_is() {
    assert_eq!(source(ip("2001:db8:0:1::1")), source(ip("2001:db8:0:1:ffff:ffff:ffff:ffff")));
    assert_ne!(source(ip("2001:db8:0:1::1")), source(ip("2001:db8:0:2::1")));
    assert_ne!(source(ip("2001:db8:0:1::1")), source(ip("2001:db9:0:1::1")));
    assert_eq!(source(ip("::ffff:10.0.0.1")), ip("10.0.0.1"));
    assert_ne!(source(ip("10.0.0.1")), source(ip("10.0.0.2")));
}

#[test]
fn when_descriptors_have_run_out_there_are_fewer_places_for_a_while() {
    runtime().block_on(async {
        let mut connections = Connections::new(4);
        let open = |connections: &mut Connections, from: &str| {
            let task = connections.running.spawn(std::future::pending());
            connections.oldest_first.push_back(Open { task, from: ip(from), waits: Rc::default() });
        };
        let left = |connections: &Connections| -> Vec<IpAddr> {
            connections.oldest_first.iter().map(|open| open.from).collect()
        };
        for from in ["10.0.0.1", "10.0.0.2", "10.0.0.3"] {
            open(&mut connections, from);
        }
        let now = Instant::now();
        connections.fewer(now);
        assert_eq!((connections.most, left(&connections)), (2, vec![ip("10.0.0.2"), ip("10.0.0.3")]));
        connections.make_room_for_one(4, now + SHORT - MOMENT);
        assert_eq!((connections.most, left(&connections)), (2, vec![ip("10.0.0.3")]));
        open(&mut connections, "10.0.0.4");
        connections.make_room_for_one(4, now + SHORT);
        assert_eq!((connections.most, left(&connections)), (4, vec![ip("10.0.0.3"), ip("10.0.0.4")]));
    });
}

#[test]
fn a_conversation_over_what_takes_a_few_bytes_at_a_time_is_whole() {
    runtime().block_on(async {
        let (mut client, server) = tokio::io::duplex(64);
        let answer: Answerer = Rc::new(|_| Answer::text(200, "x".repeat(1000)));
        let asks = async {
            client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
            let mut text = String::new();
            client.read_to_string(&mut text).await.unwrap();
            text
        };
        let ((), text) = tokio::join!(converse(server, answer, Limits::default()), asks);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert_eq!(body, "x".repeat(1000));
    });
}
