use super::*;

/// What becomes of a write.
#[derive(Clone, Copy)]
enum Does {
    Take(usize),
    Fail(i32),
}

/// Does what the script says, and then takes all or, with `full`, nothing.
struct Fake {
    script: VecDeque<Does>,
    full: bool,
    written: Vec<u8>,
}

impl TryWrite for Fake {
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let last = if self.full { Does::Fail(libc::ENOSPC) } else { Does::Take(bytes.len()) };
        match self.script.pop_front().unwrap_or(last) {
            Does::Take(n) => {
                self.written.extend(&bytes[..n]);
                Ok(n)
            }
            Does::Fail(errno) => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    fn chunk(&self) -> usize {
        4096
    }
}

fn queue(stream: Stream, script: &[Does]) -> Queue<Fake> {
    let script = script.iter().copied().collect();
    Queue::new(stream, Some(Fake { script, full: false, written: Vec::new() }))
}

fn both(stdout: &[Does], stderr: &[Does]) -> [Queue<Fake>; 2] {
    [queue(Stream::Stdout, stdout), queue(Stream::Stderr, stderr)]
}

fn written(queue: &Queue<Fake>) -> &[u8] {
    &queue.writer.as_ref().unwrap().written
}

/// So many bytes in lines of 16.
fn lines(bytes: usize) -> Vec<u8> {
    b"fifteen letters\n".repeat(bytes / 16)
}

/// One line of so many bytes.
fn line(bytes: usize) -> Vec<u8> {
    let mut line = vec![b'x'; bytes];
    line[bytes - 1] = b'\n';
    line
}

fn said(errno: i32) -> String {
    io::Error::from_raw_os_error(errno).to_string()
}

fn put(queue: &mut Queue<Fake>, lines: &[u8]) {
    queue.push(lines);
    queue.flush();
}

fn notices(queues: &mut [Queue<Fake>; 2]) -> Vec<Notice> {
    let has = has_notices(queues, Stream::Stderr);
    let notices = take_notices(queues, Stream::Stderr);
    assert_eq!(has, !notices.is_empty());
    notices
}

fn lost(stream: Stream, lines: u64, more: bool) -> Vec<Notice> {
    vec![Notice::Lost { stream, lines, more, error: said(libc::ENOSPC) }]
}

const NO_ROOM: Does = Does::Fail(libc::ENOSPC);
const OK: Does = Does::Take(2);

#[test]
fn a_queue_takes_up_to_its_bound_and_counts_each_line_beyond() {
    let mut children = queue(Stream::Stdout, &[]);
    children.push(&line(MEMORY_MAX));
    assert_eq!((children.bytes.len(), children.losses()), (MEMORY_MAX, (0, "")));
    children.push(b"a\nb\nc\n");
    assert_eq!((children.bytes.len(), children.losses()), (MEMORY_MAX, (3, "its queue is full")));
    let mut log = queue(Stream::Stderr, &[]);
    assert!(log.push_log(&line(MEMORY_MAX - 10)) && log.push_log(&line(10)));
    assert!(!log.push_log(b"a\nb\n"));
    assert_eq!((log.bytes.len(), log.losses().0), (MEMORY_MAX, 2));
}

#[test]
fn a_turn_writes_so_much_and_loses_no_more_than_that() {
    let mut writes = queue(Stream::Stdout, &[]);
    writes.push(&lines(3 * TURN_MAX));
    for turn in 1..=3 {
        writes.flush();
        assert_eq!((written(&writes).len(), writes.written), (turn * TURN_MAX, (turn * TURN_MAX) as u64));
    }
    let mut loses = queue(Stream::Stdout, &[]);
    loses.writer.as_mut().unwrap().full = true;
    loses.push(&lines(3 * TURN_MAX));
    loses.flush();
    assert_eq!((loses.bytes.len(), loses.losses().0), (2 * TURN_MAX, (TURN_MAX / 16) as u64));
}

#[test]
fn a_write_that_takes_nothing_is_tried_again() {
    let mut queue = queue(Stream::Stdout, &[Does::Take(0), Does::Take(0)]);
    put(&mut queue, b"a\n");
    assert_eq!(written(&queue), b"a\n");
}

#[test]
fn an_empty_queue_gives_back_the_memory_of_a_crowd_and_keeps_a_little() {
    let mut queue = queue(Stream::Stdout, &[]);
    put(&mut queue, &lines(TURN_MAX));
    assert!(queue.bytes.is_empty() && queue.bytes.capacity() <= KEEP, "{}", queue.bytes.capacity());
    put(&mut queue, &lines(1024));
    assert!(queue.bytes.is_empty() && queue.bytes.capacity() >= 1024, "{}", queue.bytes.capacity());
}

#[test]
fn a_loss_is_told_when_it_begins_and_when_it_is_over() {
    let mut queues = both(&[NO_ROOM, NO_ROOM, OK, NO_ROOM, OK, NO_ROOM], &[]);
    put(&mut queues[0], b"1\n2\n");
    assert_eq!(notices(&mut queues), lost(Stream::Stdout, 2, false));
    assert_eq!(notices(&mut queues), []);
    put(&mut queues[0], b"3\n");
    assert_eq!(notices(&mut queues), [], "it goes on");
    put(&mut queues[0], b"4\n");
    assert_eq!(notices(&mut queues), lost(Stream::Stdout, 1, true), "it is over");
    put(&mut queues[0], b"5\n");
    assert_eq!(notices(&mut queues), lost(Stream::Stdout, 1, true), "another begins");
    put(&mut queues[0], b"6\n");
    assert_eq!(notices(&mut queues), [], "nothing more was lost of it");
    put(&mut queues[0], b"7\n");
    assert_eq!(notices(&mut queues), lost(Stream::Stdout, 1, true), "and another");
    assert_eq!(written(&queues[0]), b"4\n6\n");
}

#[test]
fn where_the_log_itself_goes_a_loss_is_told_when_it_is_over_or_at_the_end() {
    let mut queues = both(&[], &[NO_ROOM, NO_ROOM, OK, NO_ROOM]);
    put(&mut queues[1], b"1\n");
    put(&mut queues[1], b"2\n");
    assert_eq!(notices(&mut queues), []);
    put(&mut queues[1], b"3\n");
    assert_eq!(notices(&mut queues), lost(Stream::Stderr, 2, false));
    queues[1].give_up(0, "nobody reads");
    assert!(queues[1].works(), "nothing was given up");
    put(&mut queues[1], b"4\n");
    assert!(!queues[1].works());
    queues[1].give_up(3, "nobody reads");
    assert_eq!(queues[1].losses(), (6, "nobody reads"));
}

#[test]
fn log_lines_that_were_dropped_are_told_of_when_there_is_room() {
    let mut queues = both(&[], &[]);
    queues[1].push(&line(MEMORY_MAX));
    assert!(!queues[1].push_log(b"a\nb\n"));
    assert_eq!(notices(&mut queues), []);
    while !queues[1].bytes.is_empty() {
        queues[1].flush();
    }
    assert_eq!(notices(&mut queues), [Notice::LogDropped { lines: 2 }]);
    assert_eq!(notices(&mut queues), []);
}

#[test]
fn a_reader_that_has_gone_is_told_of_once_and_why_it_went() {
    let mut queues = both(&[NO_ROOM, Does::Fail(libc::EPIPE)], &[]);
    put(&mut queues[0], b"1\n");
    assert_eq!(queues[0].losses(), (1, &*said(libc::ENOSPC)));
    assert_eq!(notices(&mut queues), lost(Stream::Stdout, 1, false));
    put(&mut queues[0], b"2\n3\n");
    assert_eq!(notices(&mut queues), [Notice::Gone { stream: Stream::Stdout, error: said(libc::EPIPE) }]);
    put(&mut queues[0], b"4\n");
    assert_eq!(notices(&mut queues), []);
    assert_eq!(queues[0].losses(), (4, &*said(libc::EPIPE)));
    queues[1].writer = None;
    queues[1].push(b"5\n");
    assert!(!has_notices(&queues, Stream::Stderr) && take_notices(&mut queues, Stream::Stderr).is_empty());
}
