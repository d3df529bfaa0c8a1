//! The terminal while it is drawn on: another screen, so that what stood there comes back; never waited for; and given back whatever happens.

use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::frame::{Size, paint};
use crate::sys::stdio::Writer;
use crate::sys::terminal::{Keys, size};

/// The other screen, no cursor, and no line that goes on in the next row: a terminal may take a character for wider than it is taken for here.
const BEGIN: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";
const END: &str = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l";
/// Where nobody says how large it is.
const USUAL: Size = Size { rows: 24, columns: 80 };
/// For a terminal to take its last orders: behind a slow line it may be behind by a second.
const LAST: Duration = Duration::from_secs(3);

pub struct Screen {
    writer: Writer,
    keys: Option<Keys>,
    /// What it has not taken yet.
    pending: Vec<u8>,
    /// What it shows once it has.
    drawn: Option<(Vec<String>, Size)>,
    /// It is ours.
    taken: bool,
    /// For its last orders.
    patience: Duration,
}

impl Screen {
    /// Takes the terminal that standard input and output are.
    ///
    /// # Errors
    /// It is none, or is gone.
    pub fn take() -> io::Result<Screen> {
        let keys = Keys::begin()?;
        let hook = std::panic::take_hook();
        // What it says is to be read, on the screen that there was.
        std::panic::set_hook(Box::new(move |panic| {
            let _ = Writer::stdout().and_then(|mut writer| writer.try_write(END.as_bytes()));
            hook(panic);
        }));
        let mut screen = Screen::over(Writer::stdout()?, Some(keys));
        screen.again();
        Ok(screen)
    }

    fn over(writer: Writer, keys: Option<Keys>) -> Screen {
        Screen { writer, keys, pending: Vec::new(), drawn: None, taken: false, patience: LAST }
    }

    /// After somebody else has had it.
    pub fn again(&mut self) {
        let _gone = self.keys.as_ref().map(Keys::again);
        self.pending.extend_from_slice(BEGIN.as_bytes());
        (self.drawn, self.taken) = (None, true);
        self.flush();
    }

    /// Asked each time: a terminal behind another one may not say that it has changed.
    pub fn size() -> Size {
        size().map_or(USUAL, |size| Size { rows: size.rows.into(), columns: size.columns.into() })
    }

    /// As it is now, whatever is on it.
    pub fn repaint(&mut self) {
        self.pending.extend_from_slice(b"\x1b[2J");
        self.drawn = None;
    }

    /// Shows these lines, unless it has not even taken those before: they are old by then. `false`: come again.
    pub fn draw(&mut self, lines: Vec<String>, size: Size) -> bool {
        if !self.pending.is_empty() && self.drawn.is_some() {
            return false;
        }
        let is_shown = self.drawn.as_ref().is_some_and(|(drawn, its)| *drawn == lines && *its == size);
        if !is_shown {
            self.pending.extend_from_slice(paint(&lines, size).as_bytes());
            self.drawn = Some((lines, size));
            self.flush();
        }
        true
    }

    /// There is something that it has not taken.
    pub fn waits_for(&self) -> Option<BorrowedFd<'_>> {
        (!self.pending.is_empty()).then(|| self.writer.as_fd())
    }

    pub fn flush(&mut self) {
        while !self.pending.is_empty() {
            match self.writer.try_write(&self.pending) {
                Ok(written) => drop(self.pending.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // It is gone: its end is seen by what can be typed no more.
                Err(_) => self.pending.clear(),
            }
        }
    }

    /// Gives it back as it was; where it takes nothing any more, without that.
    pub fn leave(&mut self) {
        if !std::mem::take(&mut self.taken) {
            return;
        }
        self.pending.extend_from_slice(END.as_bytes());
        let until = Instant::now() + self.patience;
        loop {
            self.flush();
            let left = until.saturating_duration_since(Instant::now());
            if self.pending.is_empty() || left.is_zero() {
                break;
            }
            let mut fds = [PollFd::new(self.writer.as_fd(), PollFlags::POLLOUT)];
            let _ = poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO));
        }
        self.pending.clear();
        if let Some(keys) = &self.keys {
            keys.give_back();
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::AsFd;

    use super::*;
    use crate::sys::stdio;

    const SMALL: Size = Size { rows: 2, columns: 5 };

    fn read(pipe: &mut File) -> String {
        let mut bytes = vec![0; 1 << 17];
        let read = pipe.read(&mut bytes).unwrap_or(0);
        String::from_utf8(bytes[..read].to_vec()).unwrap()
    }

    #[test]
    fn a_frame_is_written_once_and_the_terminal_given_back_also_in_a_panic() {
        let (ours, theirs) = stdio::pipe().unwrap();
        let mut shown = File::from(ours);
        let mut screen = Screen::over(Writer::new(theirs.as_fd()).unwrap(), None);
        screen.again();
        assert_eq!(read(&mut shown), BEGIN);
        let lines = || vec!["one".to_owned(), "three".to_owned()];
        assert!(screen.draw(lines(), SMALL) && screen.draw(lines(), SMALL));
        assert_eq!(read(&mut shown), "\x1b[1;1Hone\x1b[K\x1b[2;1Hthree", "once, and nothing erased that is shown");
        screen.leave();
        assert_eq!(read(&mut shown), END);
        screen.again();
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _screen = screen;
            std::panic::resume_unwind(Box::new("a fault"));
        }));
        assert!(panic.is_err());
        assert_eq!(read(&mut shown), format!("{BEGIN}{END}"));
    }

    #[test]
    fn a_terminal_that_takes_nothing_holds_nobody_up() {
        let (ours, theirs) = stdio::pipe().unwrap();
        let mut shown = File::from(ours);
        let mut screen = Screen::over(Writer::new(theirs.as_fd()).unwrap(), None);
        screen.again();
        let lines = |n: usize| vec![format!("{n}{}", "x".repeat(100_000))];
        assert!(screen.draw(lines(1), SMALL), "it is put where it waits");
        assert!(screen.waits_for().is_some() && !screen.draw(lines(2), SMALL));
        // Only its beginning fits: what is read ends in the middle.
        assert!((1..=65_536).contains(&read(&mut shown).len()));
        screen.flush();
        assert!(screen.waits_for().is_none() && screen.draw(lines(2), SMALL));
        screen.patience = Duration::from_millis(20);
        let began = Instant::now();
        screen.leave();
        assert!(began.elapsed() >= screen.patience, "it was given its time");
    }
}
