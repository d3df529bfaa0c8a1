//! `GET /prestop`: a preStop hook of the kind httpGet as the order that `softstop drain` is, and its answer on the way back.

use std::net::IpAddr;
use std::rc::Rc;

use hyper::header::{AUTHORIZATION, USER_AGENT};
use hyper::http::request::Parts;

use super::files;
use crate::config::prestop::{PreStop, Secret, Token};
use crate::control::pending::PendingRequests;
use crate::control::protocol::Reply;
use crate::control::rejections::Rejections;
use crate::http::endpoints::Answer;
use crate::http::prestop::{Guard, PATH};
use crate::http::server::{Answering, Later};
use crate::lifecycle::event::{Client, Order};

/// While so many wait already, be it over the control socket, one more is refused: that always has places of its own left.
const WAITING: usize = 8;
/// The longest token and its line feed.
const TOKEN_FILE: usize = 258;

/// The guard with its token at hand.
///
/// # Errors
/// One line: which file, and what is wrong with it.
pub(super) fn guard(settings: &PreStop) -> Result<Guard, String> {
    let token = match &settings.token {
        None => None,
        Some(Token::Value(secret)) => Some(secret.clone()),
        Some(Token::File(path)) => {
            let wrong = |why: &str| format!("[http.prestop] token_file {}: {why}", path.display());
            let bytes = files::read(path, TOKEN_FILE).map_err(|e| wrong(&format!("cannot be read: {e}")))?;
            let text = std::str::from_utf8(bytes.trim_ascii_end()).map_err(|_| wrong("the token is no text"))?;
            Some(Secret::new(text).map_err(|why| wrong(&format!("the token {why}")))?)
        }
    };
    Ok(Guard { token, from: settings.from.clone() })
}

/// What takes the requests for it. Everything else is the other endpoints'.
pub(super) fn later(guard: Guard, room: Rc<PendingRequests>) -> Later {
    let turned_away = Rejections::default();
    Rc::new(move |request: &Parts, from: IpAddr| {
        if request.method != "GET" || request.uri.path() != PATH {
            return None;
        }
        let header = |name| request.headers.get(name).map(hyper::header::HeaderValue::as_bytes);
        Some(match guard.admit(from, header(AUTHORIZATION), header(USER_AGENT)) {
            Ok(caller) => Box::pin(drained(Rc::clone(&room), Client::PreStop(caller))) as Answering,
            Err(why) => {
                turned_away.tell("GET /prestop", &why);
                Box::pin(async { Answer::text(403, "forbidden; softstop's log says why\n") })
            }
        })
    })
}

/// The kubelet ignores the status; who else asks may want it.
async fn drained(room: Rc<PendingRequests>, by: Client) -> Answer {
    let Some(place) = room.enter(WAITING) else {
        return Answer::text(503, format!("{WAITING} orders wait for their answers already\n"));
    };
    let mut asking = place.ask(Order::Drain { wait: true }, by);
    loop {
        match asking.next().await {
            Reply::Progress(_) => {}
            Reply::Done(text) => return Answer::text(200, format!("{text}\n")),
            Reply::Refused(text) => return Answer::text(500, format!("{text}\n")),
            Reply::Denied(_) | Reply::Malformed(_) | Reply::Status(_) | Reply::Line(_) | Reply::Missed { .. } => {
                return Answer::text(500, "internal error\n");
            }
        }
    }
}
