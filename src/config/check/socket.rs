//! `[[socket]]`, and which processes name it in `sockets`. Pure.

use std::fmt;
use std::iter::repeat;
use std::path::PathBuf;

use super::declare::{Key, Shape, table};
use super::handler::beside;
use super::http::Address;
use super::identity::{Account, Identity, user_and_group};
use super::kinds::{Bool, Int, Kind, Many, kind, strings};
use super::process::{Probed, ReadProcess};
use super::reader::{Field, Reader};
use super::settings::{Config, Control};
use super::values::{self, Wrong};
use crate::config::listen::Listen;
use crate::config::problem::Span;
use crate::sorted;

/// Connections that the kernel keeps until somebody accepts them: what it allows by default (`net.core.somaxconn`).
pub const BACKLOG: u32 = 4096;
/// As systemd has it: who may reach the directory may connect.
pub const MODE: u32 = 0o666;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Unique, and without a colon: LISTEN_FDNAMES has one between two.
    pub name: String,
    pub at: SocketAt,
    /// Of what takes connections. 1 to 65535.
    pub backlog: u32,
    /// O_NONBLOCK is set when a program is started with it.
    pub nonblocking: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketAt {
    Tcp(Listen),
    Udp(Listen),
    /// An abstract name.
    Abstract(String),
    Path {
        path: PathBuf,
        mode: u32,
        owner: Identity,
    },
}

/// Where a socket of the local machine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnixAt {
    Path(PathBuf),
    Abstract(String),
}

impl fmt::Display for SocketAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SocketAt::Tcp(at) => write!(f, "tcp {at}"),
            SocketAt::Udp(at) => write!(f, "udp {at}"),
            SocketAt::Abstract(name) => write!(f, "unix @{name}"),
            SocketAt::Path { path, .. } => write!(f, "unix {}", path.display()),
        }
    }
}

impl SocketAt {
    /// No two sockets can have both, as far as can be told without asking the system.
    pub fn conflicts_with(&self, other: &SocketAt) -> bool {
        match (self, other) {
            (SocketAt::Tcp(one), SocketAt::Tcp(other)) | (SocketAt::Udp(one), SocketAt::Udp(other)) => {
                one.conflicts_with(*other)
            }
            (SocketAt::Abstract(one), SocketAt::Abstract(other)) => one == other,
            (SocketAt::Path { path: one, .. }, SocketAt::Path { path: other, .. }) => one == other,
            _ => false,
        }
    }
}

const ADDRESSES: &[&str] = &["tcp", "udp", "unix"];
const HEADER: &str = "[[socket]]";
/// As `LISTEN_FDS` has a number for each, and a container a few.
const MOST: usize = 256;

table! {
    pub struct SocketKeys in "[[socket]]" one of (ADDRESSES) {
        /// What processes name in `sockets`, and programs find in LISTEN_FDNAMES. Written as a process's name; each socket has its own.
        name: SocketName { required: true };
        /// `"0.0.0.0:8080"`, `"[::]:8080"`, `"localhost:8080"`; `":8080"`, `"8080"` and `8080` mean every address, IPv4 and IPv6.
        tcp: Address { words: "address", help: "write tcp = \":8080\"", examples: &["\"127.0.0.1:8080\"", "\":8081\"", "8082"] };
        /// The same for datagrams.
        udp: Address { words: "address", help: "write udp = \":5353\"", examples: &["\"127.0.0.1:5353\"", "\":5354\""] };
        /// An absolute path, or an abstract address, which needs no file: `"@name"`. At most 107 bytes.
        unix: SocketPath { help: "write unix = \"/run/app.sock\"" };
        /// Connections that wait until they are accepted, as far as `net.core.somaxconn` allows it. Not for `udp`.
        backlog: Int<1, 65535> { help: "write a number such as 4096", examples: &["1", "128"] } = BACKLOG;
        /// The program finds it non-blocking, systemd's `NonBlocking`: for one that expects that of what it is handed, as nginx does.
        nonblocking: Bool = false;
        /// Of the file at a path: the octal digits of chmod.
        mode: FileMode { help: "write mode = \"0660\"" } = "0666";
        /// Of the file at a path: a name, a number, or both parts as `"user:group"`. Needs the capability CHOWN.
        owner: Account { unset: "softstop's own user", examples: &["\"www-data\"", "33", "\"0:0\""] };
    }
}

strings! {
    SocketName String, "string", "[A-Za-z0-9._-]{1,63}", ["\"web\""],
        |reader, field, _| reader.parsed(field, "write a name in quotes, such as \"web\"", name);
    SocketPath UnixAt, "absolute path, or `\"@name\"`", r"/[\s\S]+|@[\s\S]+", ["\"/run/app.sock\"", "\"/tmp/app.sock\""],
        |reader, field, help| reader.parsed(field, help, path);
    FileMode u32, "octal digits", "0?[0-7]{3}", ["\"0660\"", "\"600\""],
        |reader, field, help| reader.parsed(field, help, mode);
}

fn name(text: &str) -> Result<String, Wrong> {
    let wrong = |wrong: Wrong| Wrong::new(format!("{text:?} cannot be a socket's name"), wrong.help);
    values::process_name(text).map_err(wrong)
}

/// As the control socket's.
fn path(text: &str) -> Result<UnixAt, Wrong> {
    let help = "write a path such as \"/run/app.sock\", or \"@name\" for an abstract address";
    match values::control(text) {
        _ if !text.starts_with(['/', '@']) => Err(Wrong::new(format!("{text:?} is no address of a socket"), help)),
        Ok(Control::Path(path)) => Ok(UnixAt::Path(path)),
        Ok(Control::Abstract(name)) => Ok(UnixAt::Abstract(name)),
        Ok(Control::Own | Control::Off) => Err(Wrong::new("it is off", help)),
        Err(wrong) => Err(wrong),
    }
}

fn mode(text: &str) -> Result<u32, Wrong> {
    let digits = text.len() == 3 || text.len() == 4 && text.starts_with('0');
    let mode = u32::from_str_radix(text, 8).ok().filter(|_| digits && text.bytes().all(|b| b.is_ascii_digit()));
    mode.ok_or_else(|| {
        Wrong::new(format!("{text:?} is no mode of a file"), "write it as chmod has it: mode = \"0660\"")
    })
}

/// A socket as far as it alone can be judged.
pub struct ReadSocket {
    /// `None`: its name was refused.
    name: Option<String>,
    at: Option<SocketAt>,
    backlog: u32,
    nonblocking: bool,
    /// Where its name stands, or else its header.
    span: Span,
    /// Where its address stands.
    address: Option<Span>,
}

pub fn sockets(reader: &mut Reader<'_>, key: &Key<'_, Many<SocketKeys<'static>>>) -> Vec<ReadSocket> {
    let tables = key.open(reader, HEADER);
    if let Some(span) = key.span().filter(|_| tables.len() > MOST) {
        reader.error(&span, format!("there are more than {MOST} sockets"), "leave some of them out");
    }
    let mut list: Vec<ReadSocket> = tables.iter().take(MOST).map(|keys| socket(reader, keys)).collect();
    for i in 1..list.len() {
        let (before, this) = list.split_at_mut(i);
        let (this, mut before) = (&this[0], before.iter());
        if let Some(first) = before.find(|first| first.name.is_some() && first.name == this.name) {
            reader.named_twice("sockets", &this.name.clone().unwrap_or_default(), &this.span, &first.span);
        }
    }
    list
}

fn socket(reader: &mut Reader<'_>, keys: &SocketKeys<'_>) -> ReadSocket {
    let table = &keys.table;
    let name = keys.name.needed(reader, table, "the socket has no name", "add name = \"web\" below `[[socket]]`");
    let mut present = table.present(ADDRESSES);
    sorted::by_key(&mut present, |field| field.key.start);
    if let [one, other, ..] = &present[..] {
        beside(reader, one, other, ": a socket has one address", "keep one; for both, write two sockets");
    }
    if present.is_empty() {
        let help = "add tcp = \":8080\", udp = \":5353\" or unix = \"/run/app.sock\"";
        reader.missing(table, ADDRESSES, "the socket has no address", help);
    }
    let at_path = |at: &Option<UnixAt>| matches!(at, Some(UnixAt::Path(_)));
    let (tcp, udp, unix) = (keys.tcp.read(reader), keys.udp.read(reader), keys.unix.read(reader));
    let mode = keys.mode.read(reader).unwrap_or(MODE);
    let owner = owner(reader, &keys.owner).unwrap_or_default();
    let of_a_file = [&keys.mode.field, &keys.owner.field].into_iter().flatten();
    // What was refused may well have been a path.
    for field in of_a_file.filter(|_| !at_path(&unix) && (unix.is_some() || !keys.unix.is_given())) {
        let sentence = format!("`{}` for a socket that has no file", field.name);
        reader.error(&field.key, sentence, "leave it out: only unix = \"/a/path\" makes a file");
    }
    if let (Some(field), true) = (&keys.backlog.field, keys.udp.is_given()) {
        reader.error(&field.key, "`backlog` for a socket that takes no connections", "leave it out");
    }
    let backlog = keys.backlog.read(reader).unwrap_or(SocketKeys::backlog);
    let nonblocking = keys.nonblocking.read(reader).unwrap_or(SocketKeys::nonblocking);
    let at = match (tcp, udp, unix) {
        (Some(at), ..) => Some(SocketAt::Tcp(at)),
        (_, Some(at), _) => Some(SocketAt::Udp(at)),
        (.., Some(UnixAt::Abstract(name))) => Some(SocketAt::Abstract(name)),
        (.., Some(UnixAt::Path(path))) => Some(SocketAt::Path { path, mode, owner }),
        _ => None,
    };
    let span = keys.name.span().unwrap_or_else(|| table.header.clone());
    ReadSocket { name, at, backlog, nonblocking, span, address: present.first().map(Field::span) }
}

fn owner(reader: &mut Reader<'_>, key: &Key<'_, Account>) -> Option<Identity> {
    let (text, span) = (key.read(reader)?, key.span()?);
    let identity = user_and_group(reader, &text, &span);
    reader.expect_identity(&span, &identity);
    Some(identity)
}

kind! {
    /// `sockets = ["web"]`.
    SocketNames: Vec<(String, Span)> = read_socket_names, &Shape::Array(SocketName::SHAPE)
}

fn read_socket_names(reader: &mut Reader<'_>, field: &Field<'_>, help: &str) -> Option<Vec<(String, Span)>> {
    let elements = reader.elements(field, "an array of names", help)?;
    if elements.is_empty() {
        reader.error(&field.span(), format!("`{}` is empty", field.name), "name a `[[socket]]`, or leave it out");
    }
    let mut list: Vec<(String, Span)> = Vec::new();
    let mut refused = elements.is_empty();
    for element in elements.iter().take(MOST) {
        let Some(name) = SocketName::read(reader, element, help) else {
            refused = true;
            continue;
        };
        if list.iter().any(|(before, _)| *before == name) {
            let sentence = format!("{name:?} is listed twice");
            reader.error(&element.span(), sentence, "leave one of them out: it is one descriptor");
        } else {
            list.push((name, element.span()));
        }
    }
    (!refused).then_some(list)
}

/// Who names which, and whether anybody else of softstop has the address.
pub fn handed(
    reader: &mut Reader<'_>,
    sockets: Vec<ReadSocket>,
    processes: &mut [ReadProcess<'_>],
    config: &Config,
    http: Option<Span>,
) -> Vec<Socket> {
    let mut named = vec![false; sockets.len()];
    // What was refused may name any of them.
    let all_read = processes.iter().all(|p| p.sockets.is_some());
    for p in processes.iter_mut() {
        for (name, span) in p.sockets.iter().flatten() {
            match sockets.iter().position(|socket| socket.name.as_ref() == Some(name)) {
                Some(index) => {
                    named[index] = true;
                    p.process.sockets.push(index);
                }
                // The one whose name was refused may be meant.
                None if sockets.iter().any(|socket| socket.name.is_none()) || reader.has_enough() => {}
                None => unknown(reader, name, span, &sockets),
            }
        }
        no_proof(reader, p, &sockets);
        would_hang(reader, p, &sockets);
    }
    for (i, socket) in sockets.iter().enumerate() {
        let (Some(name), Some(address)) = (&socket.name, &socket.address) else { continue };
        if !named[i] && all_read && !reader.has_enough() {
            let sentence = format!("no process is handed the socket {name:?}: whoever connects would wait for ever");
            reader.error(&socket.span, sentence, format!("add sockets = [\"{name}\"] to a process, or leave it out"));
        }
        if let Some(at) = &socket.at {
            taken(reader, (name, address, at), &sockets[..i], config, http.as_ref());
        }
    }
    let sound =
        |s: ReadSocket| Some(Socket { name: s.name?, at: s.at?, backlog: s.backlog, nonblocking: s.nonblocking });
    sockets.into_iter().filter_map(sound).collect()
}

/// Whether another socket, or softstop itself, has the address.
fn taken(
    reader: &mut Reader<'_>,
    (name, address, at): (&str, &Span, &SocketAt),
    before: &[ReadSocket],
    config: &Config,
    http: Option<&Span>,
) {
    let others = before.iter().filter_map(|other| Some((other.at.clone()?, other.address.as_ref()?)));
    let own = config.http.as_ref().map(|http| SocketAt::Tcp(http.listen)).zip(http);
    let all = others.zip(repeat("another socket has it")).chain(own.zip(Some("softstop answers here")));
    let control = match &config.control {
        Control::Path(path) => matches!(at, SocketAt::Path { path: other, .. } if other == path),
        Control::Abstract(name) => *at == SocketAt::Abstract(name.clone()),
        Control::Own | Control::Off => false,
    };
    if let Some(((_, span), label)) = { all }.find(|((other, _), _)| at.conflicts_with(other)) {
        let sentence = format!("the address of the socket {name:?} is taken");
        reader.error_beside(address, (span, label), sentence, "give each its own");
    } else if control {
        let sentence = format!("the address of the socket {name:?} is that of [control]");
        reader.error(address, sentence, "give each its own");
    }
}

fn unknown(reader: &mut Reader<'_>, name: &str, span: &Span, sockets: &[ReadSocket]) {
    let known: Vec<&str> = sockets.iter().filter_map(|socket| socket.name.as_deref()).collect();
    let none = format!("add a `[[socket]]` with name = \"{name}\" and tcp = \":8080\"");
    reader.no_such(span, ("socket", "sockets"), name, &known, &none);
}

/// nginx takes what it is handed for its own of before, which does not block: where several of its workers are woken for one connection, all
/// but one would wait in accept, and serve nobody meanwhile.
fn would_hang(reader: &mut Reader<'_>, p: &ReadProcess<'_>, sockets: &[ReadSocket]) {
    let is_nginx =
        p.process.program().and_then(|program| program.preset.as_ref()).is_some_and(|preset| preset.word() == "nginx");
    for (name, span) in p.sockets.iter().flatten().filter(|_| is_nginx) {
        if sockets.iter().any(|socket| socket.name.as_ref() == Some(name) && !socket.nonblocking) {
            let sentence =
                format!("nginx is handed the socket {name:?}, which blocks: its workers would hang in accept");
            reader.warn(span, sentence, format!("add nonblocking = true to the [[socket]] {name:?}"));
        }
    }
}

/// A connection to a socket that softstop holds is made by the kernel, whatever the program does.
fn no_proof(reader: &mut Reader<'_>, p: &ReadProcess<'_>, sockets: &[ReadSocket]) {
    let held = |port: u16| sockets.iter().any(|s| matches!(s.at, Some(SocketAt::Tcp(at)) if at.port() == port));
    for Probed { port, span, .. } in p.probed.iter().filter(|probed| probed.by_connection && held(probed.port)) {
        let sentence = format!("tcp_socket to port {port}, which softstop itself holds, always succeeds");
        let help = "ask with http_get or exec: a connection is made whether or not the program accepts it";
        reader.warn(span, sentence, help);
    }
}
