//! `sisdmk setup`: makes what is missing, changes nothing that is there, tells every difference.

use platform::exit::{Exit, Failure};
use platform::settings::Settings;
use serde_json::{Value, json};

use crate::command::SetupArgs;
use crate::contract::TOPICS;
use crate::edge::surroundings::Surroundings;
use crate::outcome::{Answer, Outcome, Refusal};
use crate::setup::plan::{Difference, Plan, Step, Wanted, plan};
use crate::words::counted;

/// Looks, decides, and does what is decided, one setup at a time.
pub(crate) async fn run(settings: &Settings, args: &SetupArgs) -> Outcome {
    let mut surroundings = Surroundings::open(settings).await?;
    let found = surroundings.look().await?;
    let fingerprint = surroundings.fingerprint().to_owned();
    let plan = plan(
        &found,
        &Wanted { partitions: args.partitions, fingerprint: &fingerprint, regions: rules::wilayah::rows() },
    );
    if !plan.differences.is_empty() {
        return Err(refused(&plan, false));
    }
    let mut done = Vec::new();
    for step in &plan.steps {
        if let Err(failure) = surroundings.make(step).await {
            return Err(broken_off(failure, step, &done));
        }
        done.push(step);
    }
    if !plan.steps.is_empty() {
        verify(&mut surroundings, &plan).await?;
    }
    Ok(made(&plan))
}

/// Looks once more: servers may accept a wish and do something else, and another program may have
/// been faster with a topic of that name.
async fn verify(surroundings: &mut Surroundings<'_>, done: &Plan) -> Result<(), Refusal> {
    let found = surroundings.look().await?;
    let fingerprint = surroundings.fingerprint().to_owned();
    let rest = plan(
        &found,
        &Wanted { partitions: Some(done.partitions), fingerprint: &fingerprint, regions: rules::wilayah::rows() },
    );
    if !rest.differences.is_empty() {
        return Err(refused(&rest, !done.steps.is_empty()));
    }
    match rest.steps.first() {
        None => Ok(()),
        Some(step) => {
            let failure =
                Failure::environment(format!("setup did everything, but the servers do not show it: {}", step.code()))
                    .hint("run `sisdmk setup` again; if that does not help, look at the servers' logs");
            Err(broken_off(failure, step, &done.steps.iter().collect::<Vec<_>>()))
        }
    }
}

fn made(plan: &Plan) -> Answer {
    let result = json!({
        "changed": !plan.steps.is_empty(),
        "partitions": plan.partitions,
        "done": steps(&plan.steps.iter().collect::<Vec<_>>()),
        "differences": [],
    });
    if plan.steps.is_empty() {
        return Answer::new(
            format!(
                "nothing to do: {} topics ({} for records), schemas, tables, regions, identity key and starting positions are as agreed",
                TOPICS.len(),
                counted(usize::try_from(plan.partitions).unwrap_or(0), "partition", "partitions"),
            ),
            result,
        );
    }
    Answer::new(
        format!(
            "set up, in {}; start the stages now: sisdmk-producer, sisdmk-processor, sisdmk-sink",
            counted(plan.steps.len(), "step", "steps")
        ),
        result,
    )
    .text(lines(&plan.steps.iter().collect::<Vec<_>>()))
}

fn lines(steps: &[&Step]) -> String {
    steps.iter().map(|step| format!("  {}\n", step.describe())).collect()
}

fn steps(steps: &[&Step]) -> Value {
    steps.iter().map(|step| json!({ "step": step.code(), "text": step.describe() })).collect()
}

fn refused(plan: &Plan, changed: bool) -> Refusal {
    let differences = &plan.differences;
    // Another key alone is a wrong setting, as it is for the stages; all else is about the servers.
    let exit = if differences.iter().all(|difference| difference.place.starts_with("identity key")) {
        Exit::Config
    } else {
        Exit::Environment
    };
    let failure = Failure::new(
        exit,
        format!(
            "{} from what is agreed; {}",
            match differences.len() {
                1 => "1 thing differs".to_owned(),
                n => format!("{n} things differ"),
            },
            if changed { "what was missing has been made" } else { "nothing was changed" }
        ),
    )
    .hint("put each one right as the list says, then run `sisdmk setup` again");
    let result = json!({
        "changed": changed,
        "partitions": plan.partitions,
        "done": [],
        "differences": differences.iter().map(difference_json).collect::<Vec<_>>(),
    });
    let text = differences
        .iter()
        .map(|difference| {
            format!(
                "{}\n  agreed   {}\n  found    {}\n  to do    {}\n",
                difference.place, difference.wanted, difference.found, difference.remedy
            )
        })
        .collect::<Vec<_>>()
        .join("\n");
    Refusal::new("contract_differs", failure).explained(result, text)
}

fn difference_json(difference: &Difference) -> Value {
    json!({
        "place": difference.place,
        "agreed": difference.wanted,
        "found": difference.found,
        "remedy": difference.remedy,
    })
}

/// A step failed: what was done before it stands, and the next run goes on from there.
fn broken_off(failure: Failure, step: &Step, done: &[&Step]) -> Refusal {
    let result = json!({
        "changed": !done.is_empty(),
        "done": steps(done),
        "failed": step.code(),
        "differences": [],
    });
    let mut refusal = Refusal::from(failure);
    if !done.is_empty() {
        let mut text = lines(done);
        text.push_str("  then it broke off; run `sisdmk setup` again, it goes on from here\n");
        refusal.text = text;
    }
    refusal.result = result;
    refusal
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::lay_out;
    use crate::setup::plan::Found;

    fn first() -> Plan {
        plan(
            &Found::default(),
            &Wanted { partitions: Some(4), fingerprint: "00112233aabbccdd", regions: rules::wilayah::rows() },
        )
    }

    #[test]
    fn the_first_run_lists_what_it_did_and_the_second_says_so() {
        let answer = made(&first());
        assert!(answer.text.contains("made topic sisdmk.raw (4 partitions, keeps records for 37 days)"));
        assert!(answer.text.contains("552 regions added"));
        assert_eq!(answer.result["done"].as_array().map(Vec::len), Some(15));
        let second = made(&Plan { partitions: 4, ..Plan::default() });
        assert!(second.summary.starts_with("nothing to do: 5 topics (4 partitions"));
        assert_eq!(second.result["changed"], false);
    }

    #[test]
    fn every_difference_is_told_with_what_to_do_and_the_exit_code_is_3() {
        let mut plan = first();
        plan.differences = vec![Difference {
            place: "topic sisdmk.raw, partitions".to_owned(),
            wanted: "12".to_owned(),
            found: "3".to_owned(),
            remedy: "run setup with --partitions 3".to_owned(),
        }];
        let printed = lay_out("setup", &Err(refused(&plan, false)), false);
        assert_eq!(printed.exit, 3);
        assert!(printed.stderr.starts_with(
            "topic sisdmk.raw, partitions\n  agreed   12\n  found    3\n  to do    run setup with --partitions 3\n\n\
             error: 1 thing differs from what is agreed; nothing was changed\n"
        ));
        let printed = lay_out("setup", &Err(refused(&plan, false)), true);
        let object: Value = serde_json::from_str(&printed.stdout).expect("one object");
        assert_eq!(object["error"]["code"], "contract_differs");
        assert_eq!(object["result"]["differences"][0]["found"], "3");
    }

    #[test]
    fn a_run_that_breaks_off_tells_what_stands() {
        let plan = first();
        let done: Vec<&Step> = plan.steps.iter().take(2).collect();
        let refusal = broken_off(Failure::environment("cannot reach the registry"), &plan.steps[5], &done);
        assert!(refusal.text.contains("made topic sisdmk.clean"));
        assert!(refusal.text.contains("it goes on from here"));
        assert_eq!(refusal.result["failed"], "set_compatibility");
    }
}
