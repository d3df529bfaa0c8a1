//! softstop's own log: `tracing` events as one line each, by way of the [`Sink`] and never straight to the descriptor.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter, layer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::{Extensions, ExtensionsMut, LookupSpan, SpanData};

use super::sink::{Sink, Stream};
use super::wall_clock;
use crate::config::{LogFormat, LogLevel};
use crate::text::one_line;

/// From here on `tracing` events of this process go to the sink's standard error, from this level on.
///
/// # Errors
/// When it was called before.
pub fn init(level: LogLevel, format: LogFormat, sink: &Sink) -> Result<(), tracing::subscriber::SetGlobalDefaultError> {
    tracing::subscriber::set_global_default(subscriber_of(Limit::Shared, format, sink)).inspect(|()| set_level(level))
}

/// What [`init`] was given, or [`set_level`] since.
static LEVEL: AtomicU8 = AtomicU8::new(LogLevel::Info as u8);

/// From now on events of this level and above are written.
pub fn set_level(level: LogLevel) {
    LEVEL.store(level as u8, Ordering::Relaxed);
    tracing::callsite::rebuild_interest_cache();
}

/// From which level on events are written.
#[derive(Clone, Copy)]
enum Limit {
    /// [`LEVEL`].
    Shared,
    Own(LogLevel),
}

impl Limit {
    fn level(self) -> LevelFilter {
        let level = match self {
            Limit::Shared => LEVEL.load(Ordering::Relaxed),
            Limit::Own(level) => level as u8,
        };
        match level {
            _ if level == LogLevel::Error as u8 => LevelFilter::ERROR,
            _ if level == LogLevel::Warn as u8 => LevelFilter::WARN,
            _ if level == LogLevel::Info as u8 => LevelFilter::INFO,
            _ => LevelFilter::DEBUG,
        }
    }
}

/// What [`init`] installs; for tests, which set it for one scope.
pub fn subscriber(level: LogLevel, format: LogFormat, sink: &Sink) -> Box<dyn Subscriber + Send + Sync> {
    subscriber_of(Limit::Own(level), format, sink)
}

fn subscriber_of(limit: Limit, format: LogFormat, sink: &Sink) -> Box<dyn Subscriber + Send + Sync> {
    let events = NoSpans { limit };
    let lines = layer().with_writer(ToSink(sink.clone()));
    match format {
        LogFormat::Text => {
            let text = lines.event_format(Text { coloured: sink.is_coloured(Stream::Stderr), sink: sink.clone() });
            Box::new(events.with(text))
        }
        LogFormat::Json => {
            let json = lines.json().flatten_event(true).with_timer(Utc).with_target(false);
            Box::new(events.with(json.with_current_span(false).with_span_list(false)))
        }
    }
}

/// What stands below the lines in the place of tracing-subscriber's registry of spans: softstop has events alone. The registry begins with a
/// table for 4096 threads, which is 32 kB of every container's memory and 30,000 instructions before its program runs.
struct NoSpans {
    limit: Limit,
}

impl Subscriber for NoSpans {
    fn enabled(&self, event: &Metadata<'_>) -> bool {
        *event.level() <= self.limit.level()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.limit.level())
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl<'a> LookupSpan<'a> for NoSpans {
    type Data = NoSpan;

    fn span_data(&'a self, _: &Id) -> Option<NoSpan> {
        None
    }
}

/// There is none.
enum NoSpan {}

impl SpanData<'_> for NoSpan {
    fn id(&self) -> Id {
        match *self {}
    }

    fn metadata(&self) -> &'static Metadata<'static> {
        match *self {}
    }

    fn parent(&self) -> Option<&Id> {
        match *self {}
    }

    fn extensions(&self) -> Extensions<'_> {
        match *self {}
    }

    fn extensions_mut(&self) -> ExtensionsMut<'_> {
        match *self {}
    }
}

/// RFC 3339 with milliseconds, UTC.
struct Utc;

impl FormatTime for Utc {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        write!(w, "{}", humantime::format_rfc3339_millis(SystemTime::now()))
    }
}

/// `softstop: message`, `softstop: warning: message`, `softstop: error: message`. The message names what it is about; the
/// fields are for JSON, and shown here at level debug alone. No time stamp: every container runtime adds its own; a terminal has the time of day.
struct Text {
    coloured: bool,
    sink: Sink,
}

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut w: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let level = *event.metadata().level();
        let (word, colour) = match level {
            Level::ERROR => ("error: ", "\x1b[31m"),
            Level::WARN => ("warning: ", "\x1b[33m"),
            Level::INFO => ("", ""),
            _ => ("debug: ", "\x1b[2m"),
        };
        if let Some(time) = self.sink.time_of_day(Stream::Stderr, wall_clock()) {
            write!(w, "{time} ")?;
        }
        match self.coloured && !word.is_empty() {
            true => write!(w, "softstop: {colour}{word}\x1b[0m")?,
            false => write!(w, "softstop: {word}")?,
        }
        let mut text = TextFields { all: level >= Level::DEBUG, ..TextFields::default() };
        event.record(&mut text);
        w.write_str(&one_line(&text.message))?;
        w.write_str(&one_line(&text.fields))?;
        w.write_char('\n')
    }
}

#[derive(Default)]
struct TextFields {
    /// Not the message alone.
    all: bool,
    message: String,
    /// ` key=value` each.
    fields: String,
}

impl TextFields {
    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => fmt::write(&mut self.message, value),
            _ if !self.all => Ok(()),
            name => fmt::write(&mut self.fields, format_args!(" {name}={value}")),
        };
    }
}

impl Visit for TextFields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format_args!("{value:?}"));
    }
}

struct ToSink(Sink);

impl<'a> MakeWriter<'a> for ToSink {
    type Writer = &'a ToSink;

    fn make_writer(&'a self) -> &'a ToSink {
        self
    }
}

impl io::Write for &ToSink {
    /// The formatter hands over one whole line at a time.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push_log(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
