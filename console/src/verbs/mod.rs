//! The verbs, each in its module: read what is there through `edge`, judge it, lay it out.

mod admin;
mod batches;
mod config;
mod dlq;
mod doctor;
mod lag;
mod offsets;
mod quarantine;
mod reasons;
mod schema;
mod setup;
mod source;
mod trace;
mod validate;

use platform::settings::Settings;

use crate::command::{BatchesVerb, ConfigVerb, DlqVerb, OffsetsVerb, QuarantineVerb, SchemaVerb, SourceVerb, Verb};
use crate::outcome::Outcome;

/// Does what a verb asks.
pub(crate) async fn perform(verb: &Verb, settings: &Settings) -> Outcome {
    match verb {
        Verb::Setup(args) => setup::run(settings, args).await,
        Verb::Doctor => doctor::run(settings).await,
        Verb::Validate => validate::run(settings),
        Verb::Config(ConfigVerb::Show) => Ok(config::show(settings)),
        Verb::Batches(args) => match &args.verb {
            Some(BatchesVerb::Show(show)) => batches::show(settings, &show.id).await,
            None => batches::list(settings, args.limit).await,
        },
        Verb::Lag => lag::run(settings).await,
        Verb::Dlq(DlqVerb::List(args)) => dlq::list(settings, args),
        Verb::Dlq(DlqVerb::Show(args)) => dlq::show(settings, args.place),
        Verb::Dlq(DlqVerb::Groups) => dlq::groups(settings),
        Verb::Reasons => Ok(reasons::run()),
        Verb::Quarantine(QuarantineVerb::List) => quarantine::list(settings).await,
        Verb::Quarantine(QuarantineVerb::Show(args)) => quarantine::show(settings, &args.id).await,
        Verb::Quarantine(QuarantineVerb::Retry(args)) => quarantine::retry(settings, &args.id).await,
        Verb::Trace(args) => trace::run(settings, args.id).await,
        Verb::Poll(args) => admin::poll(settings, args).await,
        Verb::Pause => admin::pause(settings).await,
        Verb::Resume => admin::resume(settings).await,
        Verb::Schema(SchemaVerb::Check) => schema::check(settings).await,
        Verb::Schema(SchemaVerb::Diff) => schema::diff(settings).await,
        Verb::Source(SourceVerb::Probe(args)) => source::probe(settings, args).await,
        Verb::Offsets(OffsetsVerb::Reset(args)) => offsets::reset(settings, args).await,
    }
}
