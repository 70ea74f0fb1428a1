//! The form of log lines.

use std::fmt;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use crate::clock;

/// Wall time in UTC, microseconds.
pub(super) struct Utc;

impl FormatTime for Utc {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        writer.write_str(&clock::rfc3339(clock::now_micros()))
    }
}

/// One JSON object a line, flat: an event's own fields win over those of the spans around it, an
/// inner span's over an outer one's.
pub(super) struct JsonLines;

impl<S> FormatEvent<S, JsonFields> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Map::new();
        for span in context.event_scope().into_iter().flat_map(tracing_subscriber::registry::Scope::from_root) {
            let extensions = span.extensions();
            let written = extensions.get::<FormattedFields<JsonFields>>();
            if let Some(Ok(Value::Object(of_span))) = written.map(|written| serde_json::from_str(&written.fields)) {
                fields.extend(of_span);
            }
        }
        event.record(&mut Collect(&mut fields));
        let metadata = event.metadata();
        let message = fields.remove("message").unwrap_or_else(|| Value::String(String::new()));
        // Written in this order: people read these lines too.
        let head = [
            ("timestamp", Value::String(clock::rfc3339(clock::now_micros()))),
            ("level", Value::String(metadata.level().to_string())),
            ("target", Value::String(metadata.target().to_owned())),
            ("message", message),
        ];
        writer.write_char('{')?;
        let own = ["timestamp", "level", "target"];
        let rest = fields.into_iter().filter(|(name, _)| !own.contains(&name.as_str()));
        for (index, (name, value)) in
            head.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(rest).enumerate()
        {
            if index > 0 {
                writer.write_char(',')?;
            }
            write!(writer, "{}:{value}", Value::String(name))?;
        }
        writeln!(writer, "}}")
    }
}

struct Collect<'a>(&'a mut Map<String, Value>);

impl Collect<'_> {
    fn put(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
    }
}

impl Visit for Collect<'_> {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("lock").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn a_line_is_one_flat_object_with_the_fields_of_its_spans() {
        let lines = Lines::default();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(lines.clone())
            .fmt_fields(JsonFields::new())
            .event_format(JsonLines);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let outer = tracing::info_span!("batch", batch_id = "b1", region = "32");
            let _outer = outer.enter();
            let inner = tracing::info_span!("slice", region = "33", trace_id = tracing::field::Empty);
            let _inner = inner.enter();
            inner.record("trace_id", "t1");
            tracing::warn!(target: "test", count = 3, ok = true, error = %"a \"quoted\"\nline", "it \u{1b}[31mhappened");
        });
        let text = String::from_utf8(lines.0.lock().expect("lock").clone()).expect("UTF-8");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.starts_with("{\"timestamp\":\"2") && !text.contains('\u{1b}'), "{text}");
        let line: Value = serde_json::from_str(&text).expect("JSON");
        for (name, value) in [
            ("level", Value::from("WARN")),
            ("target", "test".into()),
            ("message", "it \u{1b}[31mhappened".into()),
            ("batch_id", "b1".into()),
            ("region", "33".into()),
            ("trace_id", "t1".into()),
            ("count", 3.into()),
            ("ok", true.into()),
            ("error", "a \"quoted\"\nline".into()),
        ] {
            assert_eq!(line[name], value, "{name}");
        }
    }
}
