//! A service with connections for `wait_idle`: the test itself, in softstop's network namespace.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};

/// Runs `test`, and whatever it starts, in a network namespace of its own, which takes root.
pub fn in_a_network_of_its_own(test: impl FnOnce() + Send) {
    // A thread of its own: its namespace ends with it.
    super::at_once([test], |test| {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
        test();
    });
}

/// Listens on IPv4 and IPv6.
pub struct Service {
    listener: TcpListener,
    pub port: u16,
}

/// Both ends of a connection.
pub struct Held {
    pub server: TcpStream,
    pub client: TcpStream,
}

impl Service {
    pub fn new() -> Service {
        let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        Service { listener, port }
    }

    /// One that listens at this address alone.
    pub fn at(to: (Ipv4Addr, u16)) -> Service {
        let listener = TcpListener::bind(to).unwrap();
        let port = listener.local_addr().unwrap().port();
        Service { listener, port }
    }

    /// A connection whose request is not answered. It stays open until it is dropped; the client's end is closed first.
    pub fn connect(&self, to: impl Into<IpAddr>) -> Held {
        self.open(to).asked()
    }

    /// One on which nothing was sent yet.
    pub fn open(&self, to: impl Into<IpAddr>) -> Held {
        let client = TcpStream::connect(SocketAddr::new(to.into(), self.port)).unwrap();
        self.accept(client)
    }

    /// One whose request is not answered, from another address of the loopback network.
    pub fn connect_from(&self, from: Ipv4Addr) -> Held {
        self.open_from(from).asked()
    }

    pub fn open_from(&self, from: Ipv4Addr) -> Held {
        let fd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
        let address = |ip: Ipv4Addr, port: u16| SockaddrIn::from(std::net::SocketAddrV4::new(ip, port));
        bind(fd.as_raw_fd(), &address(from, 0)).unwrap();
        let to = match self.listener.local_addr().unwrap().ip() {
            IpAddr::V4(ip) => ip,
            IpAddr::V6(_) => Ipv4Addr::LOCALHOST,
        };
        connect(fd.as_raw_fd(), &address(to, self.port)).unwrap();
        self.accept(TcpStream::from(fd))
    }

    fn accept(&self, client: TcpStream) -> Held {
        let own = client.local_addr().unwrap();
        loop {
            let (server, peer) = self.listener.accept().unwrap();
            // A probe of softstop's may have come in between.
            if peer.port() == own.port() {
                return Held { server, client };
            }
        }
    }

    /// A request of its own connection, which the server closes: it leaves TIME_WAIT.
    pub fn request(&self) {
        let Held { server, client } = self.connect(Ipv4Addr::LOCALHOST);
        drop(server);
        drop(client);
    }

    /// A request of its own connection, which the client closes first: nothing is left of it.
    pub fn short_request(&self, from: Ipv4Addr) {
        let Held { mut server, client } = self.open_from(from);
        drop(client);
        // Its end has come.
        assert_eq!(server.read(&mut [0]).unwrap(), 0);
        drop(server);
    }

    /// Takes connections and closes them, for as long as the test lives.
    pub fn answer_probes(&self) {
        let listener = self.listener.try_clone().unwrap();
        std::thread::spawn(move || while listener.accept().is_ok() {});
    }
}

impl Held {
    fn asked(mut self) -> Held {
        self.client.write_all(b"?").unwrap();
        self
    }

    /// A request and its answer.
    pub fn served(mut self) -> Held {
        self.client.write_all(b"?").unwrap();
        self.server.read_exact(&mut [0]).unwrap();
        self.server.write_all(b"!").unwrap();
        self.client.read_exact(&mut [0]).unwrap();
        self
    }

    /// How softstop names it.
    pub fn name(&self) -> String {
        let address = self.client.local_addr().unwrap();
        SocketAddr::new(address.ip().to_canonical(), address.port()).to_string()
    }
}
