//! `softstop logs`: the last lines of the processes, and those that follow, to whoever asks. Each client is written to as fast as it reads, from
//! where it has come to: for a slow one nothing is held, it is told how many lines it has missed.

use std::rc::Rc;

use tokio::net::UnixStream;
use tokio::time::timeout;

use super::protocol::{LogLine, LogsRequest, Reply};
use super::server::{LEAVE, gone, say, write_all};
use crate::nearest::nearest;
use crate::output::kept::{Follower, Keeper, Next, Reading};
use crate::output::stamp;
use crate::report::Refusal;

/// So many may read at once; one more is refused. Who watches counts twice: for the lines, and for the end.
const READERS: usize = 16;
/// Put together for one client, in bytes: a line at least.
const BATCH: usize = 16 * 1024;

/// One who reads.
pub(super) struct Reader {
    reading: Reading,
    follower: Follower,
    follows: bool,
}

/// What is to be read, or why nothing is.
pub(super) fn begin(keeper: &Rc<Keeper>, request: &LogsRequest) -> Result<Reader, String> {
    let LogsRequest { process, lines, follow } = request;
    let reading = keeper.read(process.as_deref(), *lines).map_err(|why| {
        let name = process.as_deref().unwrap_or_default();
        why.unwrap_or_else(|| {
            let meant = nearest(name, keeper.names()).map(str::to_owned);
            let known: Vec<String> = keeper.names().map(str::to_owned).collect();
            match known.is_empty() {
                true => "there is no process here".to_owned(),
                false => Refusal::NoSuchProcess { name: name.to_owned(), meant, known }.to_string(),
            }
        })
    })?;
    Ok(Reader { reading, follower: follow_on(keeper)?, follows: *follow })
}

/// A place among those who wait for what comes, or for the end; or why there is none.
pub(super) fn follow_on(keeper: &Rc<Keeper>) -> Result<Follower, String> {
    keeper.follow(READERS).ok_or_else(|| {
        format!(
            "{READERS} clients read logs or watch already, and one of them may have stopped to; end one, or try again later"
        )
    })
}

/// To the last line.
pub(super) async fn give(stream: UnixStream, keeper: Rc<Keeper>, mut reader: Reader) {
    let mut trailing = 0;
    let mut batch = String::new();
    loop {
        let seen = reader.follower.seen();
        let over = reader.follower.is_over();
        batch.clear();
        while batch.len() < BATCH
            && let Some(next) = keeper.next(&mut reader.reading)
        {
            batch.push_str(&reply(next).line());
        }
        if !batch.is_empty() {
            tokio::select! {
                written = write_all(&stream, &batch) => if written.is_err() { return },
                () = gone(&stream, &mut trailing) => return,
            }
            tokio::task::yield_now().await;
        } else if !reader.follows || over {
            break;
        } else {
            tokio::select! {
                () = reader.follower.changed(seen) => {}
                () = gone(&stream, &mut trailing) => return,
            }
        }
    }
    say(&stream, Reply::Done(String::new())).await;
    let _ = timeout(LEAVE, gone(&stream, &mut trailing)).await;
}

fn reply(next: Next<'_>) -> Reply {
    match next {
        Next::Line { source, time, stream, piece } => Reply::Line(LogLine {
            timestamp: stamp(time),
            process: source,
            stream: stream.name().to_owned(),
            line: String::from_utf8_lossy(piece.bytes).into_owned(),
            partial: piece.partial,
            continued: piece.continued,
        }),
        Next::Missed { process, lines } => Reply::Missed { process, lines },
    }
}
