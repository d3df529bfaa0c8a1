use super::*;

const A: ProcId = ProcId(0);
const B: ProcId = ProcId(1);

fn round(of: Of) -> Round {
    Round::new(of, Signal::TERM, Whom::Everybody, Walk::begin(false).unwrap())
}

fn member(pid: i32) -> Descendant {
    Descendant { pid, ppid: 1, pgid: 7, comm: "job".into(), lives: true, started: 1 }
}

fn failed(errno: i32) -> io::Result<()> {
    Err(io::Error::from_raw_os_error(errno))
}

/// What the looks see, one after the other, and whether each saw all; `None`: it fails. Who was found, whether all are known, and
/// how many looks were left.
fn joined(looks: &[Option<(&[i32], bool)>]) -> (Vec<i32>, bool, usize) {
    let mut left = looks.iter();
    let (found, complete) = whoever_joins(7, || match left.next().expect("one look more than there should be") {
        Some((pids, complete)) => Ok((pids.iter().map(|pid| member(*pid)).collect(), *complete)),
        None => Err(io::ErrorKind::NotFound.into()),
    });
    (found.iter().map(|member| member.pid).collect(), complete, left.len())
}

#[test]
fn a_group_is_looked_at_until_nobody_new_is_found() {
    assert_eq!(joined(&[Some((&[], true))]), (vec![], true, 0));
    assert_eq!(joined(&[Some((&[7], true))]), (vec![], true, 0), "the leader is no member of its own");
    assert_eq!(joined(&[Some((&[8, 9], true)), Some((&[8, 9], true))]), (vec![8, 9], true, 0));
    assert_eq!(joined(&[Some((&[8], true)), Some((&[8, 9], true)), Some((&[9, 10], true))]), (vec![8, 9, 10], true, 0));
}

#[test]
fn a_look_that_does_not_see_all_is_the_last_and_what_it_saw_counts() {
    assert_eq!(joined(&[None, Some((&[8], true))]), (vec![], false, 1));
    assert_eq!(joined(&[Some((&[8], false)), None]), (vec![8], false, 1));
    assert_eq!(joined(&[Some((&[8], true)), Some((&[8, 9], false)), None]), (vec![8, 9], false, 1));
    assert_eq!(joined(&[Some((&[8], true)), None, None]), (vec![8], false, 1));
}

#[test]
fn who_was_reached_is_counted_and_some_are_named_and_who_has_ended_is_no_refusal() {
    let mut round = round(None);
    for pid in 1..=12 {
        assert!(round.count(&member(pid), Ok(())));
    }
    assert!(round.count(&member(13), failed(libc::EPERM)), "it is not tried again");
    assert!(!round.count(&member(14), failed(libc::ESRCH)));
    assert_eq!((round.reached, round.refused, round.named.len()), (12, 1, NAMED));
    assert_eq!((&*round.named[0], &*round.named[9]), ("job (pid 1)", "job (pid 10)"));
}

#[test]
fn of_a_process_that_is_started_again_nothing_is_kept_and_of_the_others_all() {
    let mut stragglers = Stragglers::new();
    for id in [A, B] {
        stragglers.standing.insert(Some(id), Whom::Everybody);
        stragglers.under_way.push(round(Some(id)));
    }
    stragglers.signalled.extend([(A, 2), (B, 3)]);
    assert_eq!([A, B, ProcId(2)].map(|id| stragglers.signalled(id)), [2, 3, 0]);
    stragglers.forget(A);
    assert_eq!([A, B].map(|id| stragglers.signalled(id)), [0, 3]);
    assert!(stragglers.under_way() && stragglers.under_way.iter().all(|round| round.of == Some(B)));
    assert!(stragglers.standing.keys().eq([&Some(B)]));
    stragglers.forget(B);
    assert!(!stragglers.under_way());
}

#[test]
fn the_next_look_is_at_whatever_comes_first() {
    let mut stragglers = Stragglers::new();
    assert_eq!(stragglers.next(), None, "nothing wakes an idle softstop");
    let now = Instant::now();
    (stragglers.next_inspection, stragglers.next_count) = (now + LOOK, Some(now + COUNT));
    stragglers.standing.insert(None, Whom::Everybody);
    assert_eq!(stragglers.next(), Some(now + LOOK));
    stragglers.count_under_way = true;
    assert_eq!(stragglers.next(), Some(now + LOOK));
    stragglers.standing.clear();
    assert_eq!(stragglers.next(), Some(now + COUNT));
}
