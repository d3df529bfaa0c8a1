//! Receiving what is sent to NOTIFY_SOCKET: datagrams with their senders' pids, as the kernel vouches for them.

#![expect(unsafe_code, reason = "descriptors that come with a message are numbers")]

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixCredentials, recvmsg, setsockopt, sockopt};

/// Descriptors that one message can have (SCM_MAX_FD).
const MOST_DESCRIPTORS: usize = 253;

/// Has the kernel say who sends.
///
/// # Errors
/// As setsockopt has it.
pub fn ask_who_sends(socket: impl AsFd) -> io::Result<()> {
    Ok(setsockopt(&socket, sockopt::PassCred, &true)?)
}

/// A message that has been received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Received {
    pub length: usize,
    /// As softstop's PID namespace counts; `None`: outside of it.
    pub sender: Option<i32>,
    /// There was room for all of it.
    pub whole: bool,
}

/// The next message; `None`: there is none now. Descriptors that come with it are closed, which is what `BARRIER=1` asks for.
///
/// # Errors
/// As recvmsg has it.
pub fn receive(socket: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<Option<Received>> {
    let mut control = nix::cmsg_space!(UnixCredentials, [RawFd; MOST_DESCRIPTORS]);
    let mut parts = [IoSliceMut::new(into)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let message = match recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags) {
        Ok(message) => message,
        Err(nix::Error::EAGAIN | nix::Error::EINTR) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut sender = None;
    for part in message.cmsgs().into_iter().flatten() {
        match part {
            ControlMessageOwned::ScmCredentials(who) => sender = Some(who.pid()).filter(|pid| *pid > 0),
            ControlMessageOwned::ScmRights(descriptors) => {
                for fd in descriptors {
                    // SAFETY: just received, so nobody else owns it.
                    drop(unsafe { OwnedFd::from_raw_fd(fd) });
                }
            }
            _ => {}
        }
    }
    let whole = !message.flags.contains(MsgFlags::MSG_TRUNC);
    Ok(Some(Received { length: message.bytes, sender, whole }))
}
