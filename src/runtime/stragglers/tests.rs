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
fn new_ones_are_looked_for_when_it_is_time_and_no_signalling_is_under_way() {
    let (mut stragglers, now) = (Stragglers::new(), Instant::now());
    stragglers.next_inspection = now + LOOK;
    assert_eq!(
        (stragglers.next(), stragglers.is_inspection_due(now + LOOK)),
        (None, false),
        "nothing wakes an idle softstop"
    );
    stragglers.standing.insert(None, Whom::Everybody);
    assert_eq!(stragglers.next(), Some(now + LOOK));
    assert_eq!(
        [Duration::ZERO, LOOK, 2 * LOOK].map(|after| stragglers.is_inspection_due(now + after)),
        [false, true, true]
    );
    stragglers.under_way.push(round(None));
    assert!(!stragglers.is_inspection_due(now + LOOK));
}

#[test]
fn an_inspection_that_takes_long_is_made_less_often() {
    let now = Instant::now();
    for (used, pause) in [(0, 100), (5, 100), (6, 120), (100, 2000)] {
        assert_eq!(after_inspection(now, Duration::from_millis(used)), now + Duration::from_millis(pause));
    }
}

#[test]
fn what_has_been_used_of_the_processor_is_counted() {
    assert!(used_since(Duration::ZERO) > Duration::ZERO);
    assert_eq!(used_since(process::cpu_time() + Duration::from_secs(3600)), Duration::ZERO);
}

#[test]
fn a_turn_is_over_after_its_time_and_not_before() {
    assert!(Turn::of(Duration::ZERO).is_over() && !Turn::of(Duration::from_secs(3600)).is_over());
}

#[test]
fn what_was_reached_is_news_but_for_a_group_whose_end_is_waited_for() {
    let mut stragglers = Stragglers::new();
    assert!(!stragglers.reached(Some(A), 2) && !stragglers.reached(Some(A), 3) && !stragglers.reached(Some(B), 1));
    assert_eq!(([A, B].map(|id| stragglers.signalled(id)), stragglers.any_reached), ([5, 1], false));
    assert!(!stragglers.reached(None, 0) && !stragglers.any_reached);
    assert!(stragglers.reached(None, 1) && stragglers.any_reached);
    assert!(!stragglers.reached(None, 0) && stragglers.any_reached, "somebody was told before");
}

/// Of those standing, and the children that are found, one after the other: whose orders are given again, and how many children were not looked at.
fn found(standing: &[(Of, Whom)], children: &[Descendant]) -> (Vec<Of>, usize) {
    let standing = standing.iter().copied().collect();
    let mut left = children.iter();
    let whose = |pgid| match pgid {
        7 => Some(A),
        8 => Some(B),
        _ => None,
    };
    (unsignalled(&standing, || left.next().cloned(), whose).into_iter().collect(), left.len())
}

#[test]
fn an_order_is_given_again_when_somebody_new_is_found_for_it() {
    let child = |pgid| Descendant { pgid, ..member(9) };
    let dead = |pgid| Descendant { lives: false, ..child(pgid) };
    let outermost = |of| (of, Whom::Outermost);
    let all = [outermost(None), outermost(Some(A)), outermost(Some(B))];
    assert_eq!(found(&all, &[]), (vec![], 0));
    assert_eq!(found(&all, &[child(7), dead(8), child(7), child(9)]), (vec![None, Some(A)], 0));
    assert_eq!(found(&all[..2], &[child(8), dead(7), dead(9)]), (vec![], 0), "nobody was ordered to be signalled");
    assert_eq!(found(&all[..2], &[child(7), child(9), child(7)]), (vec![None, Some(A)], 1), "one for each is enough");
    // Whoever is below others is found by the walk of the order.
    let deep = [outermost(Some(A)), (Some(B), Whom::Everybody)];
    assert_eq!(found(&deep, &[dead(7), child(8)]), (vec![Some(B)], 0));
    assert_eq!(found(&deep[1..], &[child(8)]), (vec![Some(B)], 1));
}
