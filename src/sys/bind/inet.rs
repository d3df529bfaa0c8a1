//! TCP and UDP, on one address or on every one of both families.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV6, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn6, bind, listen, setsockopt, socket, sockopt,
};

use crate::config::listen::Listen;

/// A socket that listens; `queue`: so many connections the kernel keeps until they are accepted, if `net.core.somaxconn` allows it. An
/// address on which connections of before still end (TIME-WAIT) is taken.
///
/// # Errors
/// One line that names the address and what to do: it is in use, not this machine's, or privileged.
pub fn tcp(at: Listen, queue: i32) -> Result<TcpListener, String> {
    let made = match at.address() {
        Some(address) => TcpListener::bind(address),
        None => on_every_address(at.port(), SockType::Stream, TcpListener::bind),
    };
    let made = made.and_then(|listener| {
        listen(&listener, Backlog::new(queue)?)?;
        Ok(listener)
    });
    made.map_err(|e| in_words(at, &e, "`ss -ltnp` shows it"))
}

/// A socket that receives datagrams.
///
/// # Errors
/// As [`tcp`].
pub fn udp(at: Listen) -> Result<UdpSocket, String> {
    let made = match at.address() {
        Some(address) => UdpSocket::bind(address),
        None => on_every_address(at.port(), SockType::Datagram, UdpSocket::bind),
    };
    made.map_err(|e| in_words(at, &e, "`ss -lunp` shows it"))
}

fn in_words(at: Listen, error: &io::Error, who: &str) -> String {
    let hint = match error.raw_os_error() {
        Some(libc::EADDRINUSE) => {
            format!("another process has this port: choose another port, or stop that process ({who})")
        }
        Some(libc::EACCES) if at.port() < 1024 => {
            format!("port {} is privileged: choose one above 1023, or add the capability NET_BIND_SERVICE", at.port())
        }
        Some(libc::EADDRNOTAVAIL) => {
            format!("no interface here has this address: listen on :{} for all of them", at.port())
        }
        Some(libc::EAFNOSUPPORT) if !at.is_ipv4_alone() => {
            format!("this system has no IPv6: listen on :{} for every address there is", at.port())
        }
        _ => return format!("cannot listen on {at}: {error}"),
    };
    format!("cannot listen on {at}: {hint}")
}

/// One socket for both families; where there is no IPv6 (kernels without, seccomp profiles), one for IPv4.
fn on_every_address<S: From<OwnedFd>>(
    port: u16,
    kind: SockType,
    on_ipv4: impl Fn((Ipv4Addr, u16)) -> io::Result<S>,
) -> io::Result<S> {
    match on_both_families(port, kind) {
        // It would be half of what was asked for, and who has the other half might answer the clients.
        Err(e) if e.raw_os_error() != Some(libc::EADDRINUSE) => on_ipv4((Ipv4Addr::UNSPECIFIED, port)),
        both => both.map(S::from),
    }
}

/// As std makes it, but whatever `net.ipv6.bindv6only` says. TCP's still has to be told to listen.
fn on_both_families(port: u16, kind: SockType) -> io::Result<OwnedFd> {
    let made = socket(AddressFamily::Inet6, kind, SockFlag::SOCK_CLOEXEC, None)?;
    if kind == SockType::Stream {
        // Of datagrams it would let another process take a part.
        setsockopt(&made, sockopt::ReuseAddr, &true)?;
    }
    setsockopt(&made, sockopt::Ipv6V6Only, &false)?;
    let every = SockaddrIn6::from(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0));
    bind(made.as_raw_fd(), &every)?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_of_the_kernel_says_what_to_do() {
        let said = |at: &str, errno| in_words(Listen::parse(at).unwrap(), &io::Error::from_raw_os_error(errno), "ss");
        for port in [":80", ":1023", "127.0.0.1:1"] {
            assert!(said(port, libc::EACCES).contains(" is privileged: "), "{}", said(port, libc::EACCES));
        }
        assert!(said(":1024", libc::EACCES).contains("Permission denied"), "{}", said(":1024", libc::EACCES));
        for at in [":9180", "[::1]:9180"] {
            assert!(said(at, libc::EAFNOSUPPORT).contains("no IPv6: listen on :9180 "), "{at}");
        }
        assert!(!said("127.0.0.1:9180", libc::EAFNOSUPPORT).contains("IPv6"));
        assert!(said("10.9.9.9:9180", libc::EADDRNOTAVAIL).contains("no interface here has this address"));
        assert!(said(":9180", libc::EADDRINUSE).contains("another process has this port"));
    }
}
