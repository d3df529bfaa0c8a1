//! `wait_http`: asks again and again.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::{ProgressReporter, pause};
use crate::config::handler::WaitHttp;
use crate::facts::{Awaited, Outcome, Progress, Unfit};
use crate::http::{client, condition};

/// Between an answer and the next question.
const PAUSE: Duration = Duration::from_millis(200);
/// Who has not answered by then is asked anew.
const PATIENCE: Duration = Duration::from_secs(2);
/// Of a body whose status is all that counts, of JSON, and of metrics, which can be many. They are read while others wait.
const MOST_JSON: usize = 256 * 1024;
const MOST_METRICS: usize = 1024 * 1024;

pub(in crate::runtime) async fn wait(wait: WaitHttp, addrs: Vec<SocketAddr>, reporter: ProgressReporter) -> Outcome {
    let most = if wait.metric.is_some() { MOST_METRICS } else { MOST_JSON };
    loop {
        let answer = timeout(PATIENCE, client::fetch(&wait.call, &addrs, most)).await;
        let began = Instant::now();
        let holds = match answer {
            Ok(Ok((status, body))) => condition::check(&wait, status, &body),
            Ok(Err(error)) => Err(Unfit::NotAnswered(error)),
            Err(_) => Err(Unfit::NoAnswer(PATIENCE)),
        };
        match holds {
            Ok(()) => return Outcome::Ok,
            Err(why) => reporter.report(Progress::of(Awaited::Answer(why))),
        }
        sleep(pause(began.elapsed(), PAUSE)).await;
    }
}
