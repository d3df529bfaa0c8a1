//! What a process is sent in place of a signal.

use std::collections::BTreeMap;

use proptest::option;
use proptest::prelude::*;

use super::super::action::Action;
use super::super::event::{Event, Sender};
use super::{Bench, config, sent};
use crate::signal::Signal;

/// What the signal makes go out: passed on, and as the first of a stop.
fn upon(signal: Signal, sender: Sender, rewrite: BTreeMap<Signal, Option<Signal>>) -> (Vec<Signal>, Vec<Signal>) {
    let mut bench = Bench::new(config(|c| {
        c.processes[0].stop_as_received = true;
        c.processes[0].rewrite = rewrite;
    }));
    bench.feed(Event::Begin);
    let actions = bench.signal(signal, sender);
    let passed_on = |action: &Action| match action {
        Action::Forward { signal, .. } => Some(*signal),
        _ => None,
    };
    (actions.iter().filter_map(passed_on).collect(), sent(&actions))
}

fn any_signal() -> impl Strategy<Value = Signal> {
    (1..=64).prop_filter_map("a signal", Signal::from_number)
}

fn any_sender() -> impl Strategy<Value = Sender> {
    let senders =
        [Sender::Outside, Sender::Process(9), Sender::Parent(9), Sender::Terminal, Sender::Unknown, Sender::Kernel];
    proptest::sample::select(senders.to_vec())
}

proptest! {
    #[test]
    fn what_would_go_out_goes_out_as_another_or_not_at_all(
        from in any_signal(),
        to in option::of(any_signal()),
        got in prop_oneof![any_signal(), Just(Signal::TERM)],
        same in any::<bool>(),
        sender in any_sender(),
    ) {
        let got = if same { from } else { got };
        let plain = upon(got, sender, BTreeMap::new());
        let rewritten = upon(got, sender, BTreeMap::from([(from, to)]));
        let expected = match to {
            _ if got != from => plain,
            // Nothing is passed on, and nothing is stopped.
            None => (vec![], vec![]),
            Some(to) => {
                let each = |list: Vec<Signal>| list.into_iter().map(|s| if s == from { to } else { s }).collect();
                (each(plain.0), each(plain.1))
            }
        };
        prop_assert_eq!(rewritten, expected);
    }
}

#[test]
fn a_stop_that_nobody_signalled_begins_with_what_stands_for_sigterm() {
    for (to, first) in [(Some(Signal::QUIT), Signal::QUIT), (None, Signal::TERM)] {
        let rewrite = BTreeMap::from([(Signal::TERM, to)]);
        assert_eq!(upon(Signal::INT, Sender::Terminal, rewrite.clone()), (vec![], vec![Signal::INT]));
        let mut bench = Bench::new(config(|c| c.processes[0].rewrite = rewrite));
        bench.feed(Event::Begin);
        assert_eq!(sent(&bench.signal(Signal::INT, Sender::Terminal)), [first], "its stop is SIGTERM by default");
    }
}
