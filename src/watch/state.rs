//! Where whoever watches is: what is selected, what is asked of them, what was said to them; and what a key does. Pure.

use serde_json::Value;

use super::keys::Key;
use crate::control::table::list;
use crate::order::Order;
use crate::signal::Signal;

/// No signal's name is longer.
const LONGEST_NAME: usize = 24;

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct State {
    /// By its name: others may come and go.
    selected: Option<String>,
    /// Where it was last.
    at: usize,
    /// Lines of the selected process alone.
    pub own_lines: bool,
    pub mode: Mode,
    pub message: Option<Message>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    #[default]
    Browse,
    /// Whether that is really meant.
    Confirm(Order),
    /// Which signal, as far as it is typed.
    Signal { process: String, typed: String },
}

/// The answer to an order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    pub text: String,
    pub failed: bool,
}

/// What a key asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Nothing but another picture.
    Show,
    /// The same, from scratch.
    Repaint,
    Give(Order),
    Suspend,
    Leave,
    /// By Ctrl-C.
    Interrupt,
}

impl State {
    /// Which of the processes is selected.
    pub fn index(&self, processes: &[Value]) -> usize {
        let known = self.selected.as_deref().and_then(|name| processes.iter().position(|p| p["name"] == name));
        known.unwrap_or(self.at).min(processes.len().saturating_sub(1))
    }

    pub fn say(&mut self, text: impl Into<String>, failed: bool) {
        self.message = Some(Message { text: text.into(), failed });
    }

    /// `page`: how many processes there are to a page.
    pub fn on_key(&mut self, key: Key, status: &Value, page: usize) -> Effect {
        match key {
            Key::CtrlC => return Effect::Interrupt,
            Key::CtrlZ => return Effect::Suspend,
            Key::CtrlL => return Effect::Repaint,
            _ => self.message = None,
        }
        match std::mem::take(&mut self.mode) {
            Mode::Browse => self.browse(key, status, page),
            Mode::Confirm(order) => match key {
                Key::Char('y' | 'Y') => Effect::Give(order),
                _ => Effect::Show,
            },
            Mode::Signal { process, typed } => self.ask_for_signal(process, typed, key),
        }
    }

    fn browse(&mut self, key: Key, status: &Value, page: usize) -> Effect {
        let processes = list(&status["processes"]);
        let index = self.index(processes);
        let last = processes.len().saturating_sub(1);
        let to = match key {
            Key::Up | Key::Char('k') => index.saturating_sub(1),
            Key::Down | Key::Char('j') => index + 1,
            Key::PageUp => index.saturating_sub(page.max(1)),
            Key::PageDown => index.saturating_add(page.max(1)),
            Key::Home | Key::Char('g') => 0,
            Key::End | Key::Char('G') => last,
            Key::Char('q') => return Effect::Leave,
            Key::Char('l') => {
                self.own_lines = !self.own_lines;
                return Effect::Show;
            }
            Key::Char('D') => return self.confirm(Order::Drain { wait: false }),
            Key::Char('S') => return self.confirm(Order::Stop { wait: false, process: None }),
            Key::Char(order) => match processes.get(index) {
                Some(process) => return self.order(order, process),
                None => return Effect::Show,
            },
            _ => return Effect::Show,
        };
        self.at = to.min(last);
        self.selected = processes.get(self.at).and_then(|p| Some(p["name"].as_str()?.to_owned()));
        Effect::Show
    }

    /// Of one process.
    fn order(&mut self, key: char, process: &Value) -> Effect {
        let Some(name) = process["name"].as_str().map(str::to_owned) else { return Effect::Show };
        match key {
            'r' => self.confirm(Order::Restart { process: name }),
            's' if is_down(process) => Effect::Give(Order::Start { process: name }),
            's' => self.confirm(Order::Stop { wait: true, process: Some(name) }),
            'x' => {
                self.mode = Mode::Signal { process: name, typed: String::new() };
                Effect::Show
            }
            _ => Effect::Show,
        }
    }

    fn confirm(&mut self, order: Order) -> Effect {
        self.mode = Mode::Confirm(order);
        Effect::Show
    }

    fn ask_for_signal(&mut self, process: String, mut typed: String, key: Key) -> Effect {
        match key {
            Key::Enter => match Signal::parse(typed.trim()) {
                Ok(signal) => return Effect::Give(Order::Signal { process, signal }),
                Err(_) if typed.trim().is_empty() => return Effect::Show,
                Err(why) => self.say(why, true),
            },
            Key::Escape => return Effect::Show,
            Key::Backspace => drop(typed.pop()),
            Key::Char(c) if !c.is_control() && typed.len() < LONGEST_NAME => typed.push(c),
            _ => {}
        }
        self.mode = Mode::Signal { process, typed };
        Effect::Show
    }
}

/// It can be started, not stopped.
pub fn is_down(process: &Value) -> bool {
    process["state"] != "Running"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status() -> Value {
        json!({ "processes": [
            { "name": "db", "state": "Running" },
            { "name": "web", "state": "Running" },
            { "name": "job", "state": "Waiting" },
        ] })
    }

    /// The effect of the last key.
    fn typed(state: &mut State, keys: &str) -> Effect {
        let mut effect = Effect::Show;
        for c in keys.chars() {
            let key = match c {
                '\n' => Key::Enter,
                '\x1b' => Key::Escape,
                '<' => Key::Backspace,
                c => Key::Char(c),
            };
            effect = state.on_key(key, &status(), 2);
        }
        effect
    }

    fn web() -> String {
        "web".into()
    }

    #[test]
    fn the_selection_moves_and_stays_with_its_process() {
        let (mut state, status) = (State::default(), status());
        let processes = status["processes"].as_array().unwrap();
        let mut at = |keys: &[Key]| {
            keys.iter().for_each(|key| drop(state.on_key(*key, &status, 2)));
            state.index(processes)
        };
        assert_eq!(at(&[Key::Up]), 0);
        assert_eq!(at(&[Key::Down]), 1);
        assert_eq!(at(&[Key::Char('j'), Key::Char('j'), Key::Char('j')]), 2);
        assert_eq!(at(&[Key::Char('k')]), 1);
        assert_eq!(at(&[Key::Home]), 0);
        assert_eq!(at(&[Key::PageDown, Key::PageDown]), 2);
        assert_eq!(at(&[Key::PageUp]), 0);
        assert_eq!(at(&[Key::Char('G')]), 2);
        assert_eq!(at(&[Key::Char('k')]), 1);
        let fewer = [json!({ "name": "web" }), json!({ "name": "job" })];
        assert_eq!(state.index(&fewer), 0, "web");
        assert_eq!(state.index(&[json!({ "name": "new" })]), 0);
        assert_eq!(state.index(&[]), 0);
        for key in [Key::Down, Key::Char('r'), Key::Char('x'), Key::End] {
            assert_eq!(State::default().on_key(key, &json!(null), 0), Effect::Show, "nothing runs");
        }
    }

    #[test]
    fn what_stops_something_is_done_when_it_is_confirmed_and_not_else() {
        for (keys, order) in [
            ("jr", Order::Restart { process: web() }),
            ("js", Order::Stop { wait: true, process: Some(web()) }),
            ("D", Order::Drain { wait: false }),
            ("S", Order::Stop { wait: false, process: None }),
        ] {
            let mut state = State::default();
            assert_eq!(typed(&mut state, keys), Effect::Show);
            assert_eq!(state.mode, Mode::Confirm(order.clone()));
            assert_eq!(typed(&mut state, "y"), Effect::Give(order));
            assert_eq!(state.mode, Mode::Browse);
            for other in ["n", "\x1b", "\n", "q"] {
                let mut state = State::default();
                assert_eq!(typed(&mut state, &format!("{keys}{other}")), Effect::Show, "{keys}{other:?}");
                assert_eq!(state.mode, Mode::Browse);
            }
        }
    }

    #[test]
    fn what_is_down_is_started_at_once() {
        assert_eq!(typed(&mut State::default(), "Gs"), Effect::Give(Order::Start { process: "job".into() }));
    }

    #[test]
    fn a_signal_is_asked_for_until_there_is_one_of_that_name() {
        let mut state = State::default();
        let given = |signal| Effect::Give(Order::Signal { process: web(), signal });
        assert_eq!(typed(&mut state, "jxhup\n"), given(Signal::HUP));
        assert_eq!(typed(&mut state, "x1<10\n"), given(Signal::USR1));
        assert_eq!(typed(&mut state, "xHPU\n"), Effect::Show);
        assert!(state.message.as_ref().is_some_and(|message| message.failed && message.text.contains("SIGHUP")));
        assert_eq!(state.mode, Mode::Signal { process: web(), typed: "HPU".into() });
        assert_eq!(typed(&mut state, "<<UP\n"), given(Signal::HUP));
        assert_eq!(typed(&mut state, "xq"), Effect::Show, "a letter of a name");
        assert_eq!(typed(&mut state, "\x1b"), Effect::Show);
        assert_eq!(typed(&mut state, "x\n"), Effect::Show);
        assert_eq!(state.mode, Mode::Browse, "none is meant");
        typed(&mut state, &format!("x{}", "世".repeat(500)));
        assert!(matches!(&state.mode, Mode::Signal { typed, .. } if typed.len() < 30));
    }

    #[test]
    fn ctrl_c_leaves_in_every_mode_and_q_while_nothing_is_asked() {
        for keys in ["", "jr", "jx", "S"] {
            let mut state = State::default();
            typed(&mut state, keys);
            assert_eq!(state.on_key(Key::CtrlC, &status(), 2), Effect::Interrupt);
            assert_eq!(state.on_key(Key::CtrlZ, &status(), 2), Effect::Suspend);
        }
        assert_eq!(typed(&mut State::default(), "q"), Effect::Leave);
        let mut state = State::default();
        state.say("web: started", false);
        assert_eq!(typed(&mut state, "l"), Effect::Show);
        assert_eq!((state.own_lines, state.message), (true, None), "read by now");
    }
}
