//! softstop's own log: `tracing` events as one line each, by way of the [`Sink`] and never straight to the descriptor.

use std::fmt;
use std::io;
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use super::sink::{Sink, Stream};
use crate::config::{LogFormat, LogLevel};
use crate::text::one_line;

/// From here on `tracing` events of this process go to the sink's standard error, from this level on.
///
/// # Errors
/// When it was called before.
pub fn init(level: LogLevel, format: LogFormat, sink: &Sink) -> Result<(), tracing::subscriber::SetGlobalDefaultError> {
    tracing::subscriber::set_global_default(subscriber(level, format, sink))
}

/// What [`init`] installs; for tests, which set it for one scope.
pub fn subscriber(level: LogLevel, format: LogFormat, sink: &Sink) -> Box<dyn Subscriber + Send + Sync> {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let builder = tracing_subscriber::fmt().with_max_level(level).with_writer(ToSink(sink.clone()));
    match format {
        LogFormat::Text => Box::new(builder.event_format(Text { coloured: sink.is_coloured(Stream::Stderr) }).finish()),
        LogFormat::Json => {
            let json = builder.json().flatten_event(true).with_timer(Utc).with_target(false);
            Box::new(json.with_current_span(false).with_span_list(false).finish())
        }
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
/// fields are for JSON, and shown here at level debug alone. No time stamp: every container runtime adds its own.
struct Text {
    coloured: bool,
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
        match self.coloured && !word.is_empty() {
            true => write!(w, "softstop: {colour}{word}\x1b[0m")?,
            false => write!(w, "softstop: {word}")?,
        }
        let mut text = TextFields::default();
        event.record(&mut text);
        w.write_str(&one_line(&text.message))?;
        if level >= Level::DEBUG {
            w.write_str(&one_line(&text.fields))?;
        }
        w.write_char('\n')
    }
}

#[derive(Default)]
struct TextFields {
    message: String,
    /// ` key=value` each.
    fields: String,
}

impl TextFields {
    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => fmt::write(&mut self.message, value),
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
