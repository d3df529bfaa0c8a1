//! A program that goes on in the background: the process that softstop started ends at once with 0, and what it has left behind, a
//! daemon, bears its name. Nothing is decided by it: what to write instead is said.

use std::time::Duration;

use super::shell::Shell;
use crate::lifecycle::event::ProcId;
use crate::report::Note;
use crate::sys::{process, procfs, tree};

/// Who does so does it within seconds.
const SOON: Duration = Duration::from_secs(10);
/// So many of what it has left behind are looked at.
const LOOKS: usize = 64;

/// How to keep them in the foreground, after "run it in the foreground, ".
const INSTEAD: [(&str, &str); 14] = [
    ("nginx", "nginx -g 'daemon off;'"),
    ("php-fpm", "php-fpm --nodaemonize"),
    ("httpd", "httpd -D FOREGROUND"),
    ("apache2", "apache2 -D FOREGROUND"),
    ("haproxy", "haproxy -W -db"),
    ("sshd", "sshd -D -e"),
    ("crond", "crond -f"),
    ("cron", "cron -f"),
    ("redis-server", "redis-server --daemonize no"),
    ("dnsmasq", "dnsmasq --keep-in-foreground"),
    ("rsyslogd", "rsyslogd -n"),
    ("supervisord", "supervisord --nodaemon"),
    ("named", "named -f"),
    ("squid", "squid --foreground"),
];

impl Shell {
    /// A process has ended with 0, unasked; it is a zombie still, and what it left behind is softstop's by now.
    pub(super) fn look_for_its_daemon(&mut self, id: ProcId, pid: i32) {
        let ran = self.machine.borrow().ran(id, self.clock.now());
        if ran.is_none_or(|ran| ran > SOON) || self.no_time_to_look() {
            return;
        }
        let Some(comm) = procfs::stat(pid).map(|stat| stat.comm) else { return };
        let left = tree::children(process::own_pid()).unwrap_or_default();
        let others = left.into_iter().filter(|p| *p != pid && !self.children.contains_key(p)).take(LOOKS);
        let same = others.filter_map(procfs::stat).find(|stat| stat.comm == comm && stat.lives());
        if let Some(daemon) = same {
            let process = self.plan.name(id.0).to_owned();
            let instead = instead(&comm);
            self.account.note(Note::InBackground { process, command: comm, pid: daemon.pid, instead });
        }
    }
}

/// Names end in versions: `php-fpm8.4`.
fn instead(comm: &str) -> Option<&'static str> {
    let bare = comm.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    INSTEAD.iter().find(|(name, _)| *name == comm || *name == bare).map(|(_, instead)| *instead)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_makes_no_other_program() {
        assert_eq!(instead("php-fpm8.4"), Some("php-fpm --nodaemonize"));
        assert_eq!(instead("apache2"), Some("apache2 -D FOREGROUND"));
        assert_eq!(instead("own-server"), None);
    }
}
